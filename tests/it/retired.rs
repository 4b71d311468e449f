//! Settings, variables and flags under their old names are refused with the new ones named.

use crate::support::{SidecarSetup, command};

#[test]
fn five_old_names_are_one_message_with_their_new_names() {
    let file = "observer:\n  workers: 2\n  memory: 64MiB\nsampling:\n  judge: 10%\n  keep: 1%\n\
                enforcement:\n  judging_budget: 1s\n";
    let refused = SidecarSetup::bare()
        .file("cvt.yaml", file)
        .env("CVT_OBSERVER_PRIORITY", "low")
        .args(&["--spec", "openapi.yaml", "--upstream", "http://127.0.0.1:9"])
        .refuse();
    assert_eq!(refused.code, Some(2), "{refused:?}");
    let lines: Vec<_> = refused.stderr.lines().collect();
    let expected = [
        ("cvt.yaml:2: ", "`observer.workers`", "`pipeline.workers`"),
        ("cvt.yaml:3: ", "`observer.memory`", "`pipeline.memory`"),
        ("cvt.yaml:5: ", "`sampling.judge`", "`sampling.validate`"),
        ("cvt.yaml:6: ", "`sampling.keep`", "`sampling.record`"),
        ("cvt.yaml:8: ", "`enforcement.judging_budget`", "`enforcement.validation_budget`"),
        ("CVT_OBSERVER_PRIORITY: ", "`CVT_OBSERVER_PRIORITY`", "`CVT_PIPELINE_PRIORITY`"),
    ];
    assert_eq!(lines.len(), expected.len(), "{refused:?}");
    for (line, (place, old, new)) in lines.iter().zip(expected) {
        let named = line.starts_with(place) && line.contains(old) && line.contains(new);
        assert!(named, "{place}{old} to {new} is missing: {refused:?}");
    }
}

#[test]
fn old_flags_are_refused_with_their_new_names() {
    for (arguments, renames) in [
        (&["run", "--schema-id", "users"] as &[&str], &[("--schema-id", "--schema")] as &[_]),
        (
            &[
                "validations",
                "list",
                "--schema-id=users",
                "--environment",
                "dev",
                "--operation",
                "/a",
            ],
            &[("--schema-id", "--schema"), ("--environment", "--env"), ("--operation", "--path")],
        ),
        (&["violations", "--operation", "/users/{id}"], &[("--operation", "--path")]),
        (&["report", "--environment", "dev"], &[("--environment", "--env")]),
        (
            &["validate", "--exchange", "a", "--strict-fields", "--tolerate-trailing-slash"],
            &[
                ("--strict-fields", "--rule undeclared_fields=strict"),
                ("--tolerate-trailing-slash", "--rule trailing_slash=lenient"),
            ],
        ),
    ] {
        let dir = tempfile::tempdir().expect("a directory");
        let output = command(dir.path()).args(arguments).output().expect("it runs");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {stderr}");
        assert_eq!(stderr.lines().count(), renames.len(), "{arguments:?}: {stderr}");
        for (line, (old, new)) in stderr.lines().zip(renames.iter()) {
            let named = line.contains(&format!("`{old}`")) && line.contains(&format!("`{new}`"));
            assert!(named, "{old} to {new} is missing: {stderr}");
        }
    }
}
