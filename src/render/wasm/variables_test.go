package main

import (
	"encoding/json"
	"os"
	"slices"
	"testing"
)

func TestVariablesAreThoseOfTypeScript(t *testing.T) {
	raw, err := os.ReadFile("../testdata/variables.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors struct {
		Cluster clusterVariables
		Cases   []struct {
			In, Out, Error string
			Used           []string
		}
	}
	if err := json.Unmarshal(raw, &vectors); err != nil {
		t.Fatal(err)
	}
	for _, c := range vectors.Cases {
		used := map[string]bool{}
		out, failure := vectors.Cluster.expand(c.In, used)
		rule := ""
		if failure != nil {
			rule = failure.rule
		}
		if out != c.Out || rule != c.Error || !slices.Equal(sortedKeys(used), c.Used) {
			t.Errorf("%q: got %q, error %q, used %q", c.In, out, rule, sortedKeys(used))
		}
	}
}
