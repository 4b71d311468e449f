//! Small YAML texts: what libyaml takes beyond the letter of YAML 1.2, and what it refuses.

/// A text and its tree, or "refused". PyYAML over libyaml agrees with every one.
pub(super) const CASES: &[(&str, &str)] = &[
    // Quoted text that goes on at the column of its key, or in column 0.
    ("a:\n  b: 'x\n  y'\n  c: 1\n", r#"{"a":{"b":"x y","c":1}}"#),
    ("a: \"x\ny\n\"\nb: 1\n", r#"{"a":"x y ","b":1}"#),
    ("a:\n  b: \"x\n\"\n  c: 1\n", r#"{"a":{"b":"x ","c":1}}"#),
    ("a:\n- 'x\n\n\n  y'\n", r#"{"a":["x\n\ny"]}"#),
    ("a: \"x\\\n  y\\\n\n  z\"\n", r#"{"a":"xy\nz"}"#),
    ("a: 'x\n---\ny'\n", "refused"),
    ("a: 'x\n", "refused"),
    // Flow collections that close at the column of their key, or further out.
    ("a: {\n  b: 1\n}\nc: 2\n", r#"{"a":{"b":1},"c":2}"#),
    ("a:\n  b: [\n    x,\n  ]\n  c: {\n    d: 'e'\n  }\n", r#"{"a":{"b":["x"],"c":{"d":"e"}}}"#),
    ("a:\n  b: {\n c: 'd'\n}\n", r#"{"a":{"b":{"c":"d"}}}"#),
    ("a: [x, y, ]\nb: {c, d: }\n", r#"{"a":["x","y"],"b":{"c":null,"d":null}}"#),
    ("{a: [b: 1, ? c : 2], 'd':3, \"e\":[4]}\n", r#"{"a":[{"b":1},{"c":2}],"d":3,"e":[4]}"#),
    ("a: {b:1}\n", r#"{"a":{"b:1":null}}"#),
    ("a: [x, , y]\n", "refused"),
    ("a: [x\nb: 1\n", "refused"),
    ("a: [x}\n", "refused"),
    ("a: {b:}\n", "refused"),
    ("a: [b]c\n", "refused"),
    // A comment directly behind a value that has an end of its own.
    (
        "a: 'x'# no\nb: \"y\"#no\nc: [1]# no\nd: {e: 2}#\n",
        r#"{"a":"x","b":"y","c":[1],"d":{"e":2}}"#,
    ),
    ("a: x#y\nb: x #y\n", r#"{"a":"x#y","b":"x"}"#),
    ("a: [x,#no\n y]\n", r#"{"a":["x","y"]}"#),
    ("a: |#no\n  x\n", r#"{"a":"x\n"}"#),
    // Tabs: between tokens, in and before what continues a text, but not as indentation.
    ("a:\tx\nb:\t- 1\n", "refused"),
    ("a:\tx\t# no\n\t\nb: [\t1,\n\t2\t]\n", "refused"),
    ("a:\tx\t# no\nb: [\t1,\n\t2\t]\n", r#"{"a":"x","b":[1,2]}"#),
    ("a: 'x\n\ty'\nb: x\ty\n", r#"{"a":"x y","b":"x\ty"}"#),
    ("a:\n\tb: 1\n", "refused"),
    ("a: x\n\ty\n", "refused"),
    ("a: x\n  \ty\n", r#"{"a":"x y"}"#),
    ("a: |\n\tx\n", "refused"),
    ("a: |\n  \tx\n", "refused"),
    ("a: |\n  x\n  \ty\n", r#"{"a":"x\n\ty\n"}"#),
    // Directives, document marks, byte order marks, line breaks.
    ("%YAML 1.2\n---\na: 1\n", r#"{"a":1}"#),
    ("%YAML 1.1 # no\n--- {a: 1}\n...\n", r#"{"a":1}"#),
    ("%YAML 1.3\n---\na: 1\n", "refused"),
    ("%YAML 1.2\na: 1\n", "refused"),
    ("%FOO\n---\na: 1\n", "refused"),
    ("%TAG !y! tag:yaml.org,2002:\n---\na: !y!str 1\n", r#"{"a":"1"}"#),
    ("a: !y!str 1\n", "refused"),
    ("--- # no\na: 1\n", r#"{"a":1}"#),
    ("--- |\n  x\n", r#""x\n""#),
    ("\u{feff}a: 1\n", r#"{"a":1}"#),
    ("\u{feff}# no\n---\na: 1\n", r#"{"a":1}"#),
    (
        "a: x\r\nb:\r\n  - 'y\r\n    z'\r\nc: |\r\n  x\r\n  y\r\n",
        r#"{"a":"x","b":["y z"],"c":"x\ny\n"}"#,
    ),
    ("a: x\rb: y\r", r#"{"a":"x","b":"y"}"#),
    ("a: x\n  y\n\n  z\nb: 1", r#"{"a":"x y\nz","b":1}"#),
    ("", "null"),
    ("# nothing\n", "null"),
    ("{a: 1} b\n", "refused"),
    ("a: \u{1}\n", "refused"),
    ("a: \u{7f}\n", "refused"),
    // Block texts.
    ("a: |\n  x", r#"{"a":"x"}"#),
    (
        "a: >-\n  x\n  y\n\n  z\n   w\n\nb: |+\n  x\n\nc: |2-\n   x\n",
        r#"{"a":"x y\nz\n w","b":"x\n\n","c":" x"}"#,
    ),
    ("- |\n x\n- >\n y\n z\n", r#"["x\n","y z\n"]"#),
    ("a: |0\n  x\n", "refused"),
    ("a: | x\n", "refused"),
    // Keys.
    ("a:\n- 1\n- 2\nb: 3\n", r#"{"a":[1,2],"b":3}"#),
    ("? a\n: 1\n? b\n", r#"{"a":1,"b":null}"#),
    ("200: a\ntrue: b\n~: c\n'': d\n", r#"{"200":"a","true":"b","~":"c","":"d"}"#),
    ("a: b: c\n", "refused"),
    ("a: 1\n b: 2\n", "refused"),
    ("a:\n  b: 1\n c: 2\n", "refused"),
    ("a\nb: 1\n", "refused"),
    ("- a\nb: 1\n", "refused"),
    ("http://x: y\n'a:b':c: 1\n", "refused"),
    ("http://x: y::z\n", r#"{"http://x":"y::z"}"#),
    ("a: 1\na: 2\n", r#"{"a":2}"#),
    ("a: @x\n", "refused"),
    ("a: `x`\n", "refused"),
    ("a: %x\n", "refused"),
    ("a: -x\nb: ?x\nc: :x\n", r#"{"a":"-x","b":"?x","c":":x"}"#),
    // Anchors, aliases and tags.
    ("a: &x [1]\nb: *x\nc: &y\nd: *y\n", r#"{"a":[1],"b":[1],"c":null,"d":null}"#),
    (
        "a: &x {b: 1, c: 2}\nd: {<<: *x, b: 3}\ne:\n  <<: [{b: 4}, *x]\n",
        r#"{"a":{"b":1,"c":2},"d":{"b":3,"c":2},"e":{"b":4,"c":2}}"#,
    ),
    ("a: *x\n", "refused"),
    ("a: &x.y 1\n", "refused"),
    ("a: !!str\nb: !!int '7'\n", r#"{"a":"","b":7}"#),
    ("a: [!!str, !!str 1]\n", r#"{"a":["","1"]}"#),
    ("a: !<tag:yaml.org,2002:str> 1\nb: !<x 1\n", "refused"),
    // Escapes.
    (r#"a: "\x41\u00e9\U0001F600\t\/\_""#, "{\"a\":\"A\u{e9}\u{1f600}\\t/\u{a0}\"}"),
    (r#"a: "\'""#, "refused"),
    (r#"a: "\ud83d\ude00""#, "refused"),
    (r#"a: "\"#, "refused"),
];

/// A text and our tree, or "refused", where it differs from what PyYAML's `CSafeLoader` makes of it.
pub(super) const DIFFERENCES: &[(&str, &str)] = &[
    // Scalars follow the core schema of YAML 1.2, and keys keep their written form.
    ("a: yes\nb: off\n", r#"{"a":"yes","b":"off"}"#),
    ("a: 0o17\nb: 017\nc: 1e3\n", r#"{"a":15,"b":17,"c":1e3}"#),
    ("a: 1_000\nb: 1:30\nc: 0b1\n", r#"{"a":"1_000","b":"1:30","c":"0b1"}"#),
    ("a: =\n", r#"{"a":"="}"#),
    ("0x10: a\nyes: b\n", r#"{"0x10":"a","yes":"b"}"#),
    // The first document is read.
    ("a: 1\n---\nb: 2\n", r#"{"a":1}"#),
    // An anchor may be set twice.
    ("a: &x 1\nb: &x 2\nc: *x\n", r#"{"a":1,"b":2,"c":2}"#),
    // A node cannot hold itself: the loader makes a ring of it.
    ("a: &x {b: *x}\n", "refused"),
    // Tags that YAML does not define are ignored.
    ("a: !mine 1\nb: !mine [2]\n", r#"{"a":1,"b":[2]}"#),
    ("a: !!int x\n", r#"{"a":"x"}"#),
];
