package main

import (
	"fmt"
	"strings"
)

// clusterVariables are what ${cluster.…} may refer to.
type clusterVariables struct {
	Name   string            `json:"name"`
	Labels map[string]string `json:"labels"`
	Facts  map[string]string `json:"facts"`
	// Capabilities are what a chart may ask of the cluster; empty ones stand for what Helm assumes by itself.
	Capabilities struct {
		KubeVersion string   `json:"kubeVersion"`
		APIs        []string `json:"apis"`
	} `json:"capabilities"`
}

const variablePrefix = "${cluster."

// variableError says which variable failed and at which byte of the text, so that the caller can find the line.
type variableError struct {
	rule    string
	offset  int
	message string
}

// expand replaces ${cluster.name}, ${cluster.labels.<key>} and ${cluster.facts.<key>}; `$${` becomes `${`; any other `$`
// stays. The result is never looked at again, so a label value cannot bring in another variable. The same function
// exists for paths in variables.ts; testdata/variables.json holds both to the same answers.
func (c *clusterVariables) expand(text string, used map[string]bool) (string, *variableError) {
	if !strings.Contains(text, "${") {
		return text, nil
	}
	var out strings.Builder
	for i := 0; i < len(text); {
		rest := text[i:]
		switch {
		case strings.HasPrefix(rest, "$${"):
			out.WriteString("${")
			i += 3
		case strings.HasPrefix(rest, variablePrefix):
			end := strings.IndexByte(rest, '}')
			if end < 0 {
				return "", &variableError{"variable-unterminated", i, "a variable starts with ${cluster. and has no closing brace; close it, or write $${ for a literal ${"}
			}
			name := rest[2:end]
			used[name] = true
			value, why := c.lookup(name)
			if why != "" {
				message := fmt.Sprintf("variable ${%s} has no value on cluster %s: %s; write $${ for a literal ${", clip(name), quote(c.Name), why)
				return "", &variableError{"variable-unknown", i, message}
			}
			out.WriteString(value)
			i += end + 1
		default:
			next := strings.IndexByte(rest[1:], '$')
			if next < 0 {
				next = len(rest) - 1
			}
			out.WriteString(rest[:next+1])
			i += next + 1
		}
	}
	return out.String(), nil
}

func (c *clusterVariables) lookup(name string) (value, why string) {
	if name == "cluster.name" {
		return c.Name, ""
	}
	if key, ok := strings.CutPrefix(name, "cluster.labels."); ok {
		if value, has := c.Labels[key]; has {
			return value, ""
		}
		return "", "the cluster has no label " + quote(key)
	}
	if key, ok := strings.CutPrefix(name, "cluster.facts."); ok {
		if value, has := c.Facts[key]; has {
			return value, ""
		}
		return "", "its agent has reported no fact " + quote(key)
	}
	return "", "there are cluster.name, cluster.labels.<key> and cluster.facts.<key>"
}

func clip(text string) string {
	quoted := quote(text)
	return quoted[1 : len(quoted)-1]
}
