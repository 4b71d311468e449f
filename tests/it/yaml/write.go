// Writes each JSON document again as YAML, in the styles that go-yaml has; prints the paths.
package main

import (
	"bytes"
	"fmt"
	"os"

	"gopkg.in/yaml.v3"
)

func restyle(node *yaml.Node, scalar, collection yaml.Style) {
	node.Style = scalar
	if node.Kind == yaml.MappingNode || node.Kind == yaml.SequenceNode {
		node.Style = collection
	}
	for i, child := range node.Content {
		if node.Kind == yaml.MappingNode && i%2 == 0 {
			child.Style = 0
			continue
		}
		if child.Kind == yaml.ScalarNode && child.Tag != "!!str" {
			child.Style = 0
			continue
		}
		restyle(child, scalar, collection)
	}
}

func main() {
	styles := map[string][2]yaml.Style{
		"block":   {0, 0},
		"flow":    {0, yaml.FlowStyle},
		"single":  {yaml.SingleQuotedStyle, 0},
		"double":  {yaml.DoubleQuotedStyle, 0},
		"literal": {yaml.LiteralStyle, 0},
		"folded":  {yaml.FoldedStyle, 0},
	}
	for _, path := range os.Args[1:] {
		text, err := os.ReadFile(path)
		if err != nil {
			panic(err)
		}
		for name, style := range styles {
			var document yaml.Node
			if err := yaml.Unmarshal(text, &document); err != nil {
				panic(err)
			}
			restyle(&document, style[0], style[1])
			var out bytes.Buffer
			encoder := yaml.NewEncoder(&out)
			encoder.SetIndent(2)
			if err := encoder.Encode(&document); err != nil {
				panic(err)
			}
			written := path + ".go-" + name + ".yaml"
			if err := os.WriteFile(written, out.Bytes(), 0o644); err != nil {
				panic(err)
			}
			fmt.Println(written)
		}
	}
}
