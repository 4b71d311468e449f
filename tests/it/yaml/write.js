// Writes each JSON document again as YAML, in the ways that js-yaml has; prints the paths.
const fs = require('fs');
const yaml = require('js-yaml');

const styles = {
  plain: {},
  narrow: { lineWidth: 20 },
  quoted: { forceQuotes: true },
  double: { forceQuotes: true, quotingType: '"', lineWidth: 40 },
  flow: { flowLevel: 3, condenseFlow: true },
  compact: { noArrayIndent: true, noRefs: true },
};
for (const path of process.argv.slice(2)) {
  const value = JSON.parse(fs.readFileSync(path, 'utf8'));
  for (const [style, options] of Object.entries(styles)) {
    fs.writeFileSync(`${path}.js-${style}.yaml`, yaml.dump(value, options));
    console.log(`${path}.js-${style}.yaml`);
  }
}
