package main

import (
	"encoding/json"
	"strings"
	"testing"

	kyaml "sigs.k8s.io/yaml"
)

// scalars that YAML 1.1, YAML 1.2 and people disagree about (H21).
var scalars = strings.Fields(`no yes on off y n Y N true True TRUE false ~ null Null NULL nul 012 0o12 0x1F 0b11 -0b11 +1 -1 - + 1_000 1__0 _1 1e3 1E+3 1e400
-1e400 .5 5. . .e1 1.0 -0 -0.0 0.0 1.10 3.14159265358979323846 1:30 190:20:30 9007199254740993 9223372036854775807 9223372036854775808
18446744073709551615 18446744073709551616 123456789012345678901234567890 -9223372036854775808 -9223372036854775809 2001-01-01
2001-12-14T21:59:43Z 2001-1-1 12e03 0x 0b 0xG 1.2.3 1.2e 1e 08 09 00 0777 1e-7 1e21 1e20 100000000000000000000 1e22 123456789012345.5 <<x
!!str\ 12 "12" '12' "no" !!str yes.no .inf1 1.e2 +.5 -.5 +.5e1 1,000 0.1e1 1e+3 0_1 0x_1 infinity nan NaN inf`)

func valuesOfOurs(t *testing.T, source string) (string, bool) {
	t.Helper()
	sink := &errorSink{}
	p := &parser{sink: sink, used: map[string]bool{}, at: func(string, int) {}}
	documents := p.parse(text{name: "a.yaml", bytes: []byte(source)})
	if sink.count() > 0 || len(documents) != 1 {
		return "", false
	}
	return string(appendCanonical(nil, documents[0].value, 1<<30)), true
}

// valuesOfKubectl is what `kubectl apply` sends for a YAML document: sigs.k8s.io/yaml to JSON, numbers as the API
// machinery reads them.
func valuesOfKubectl(source string) (string, bool) {
	raw, err := kyaml.YAMLToJSON([]byte(source))
	if err != nil {
		return "", false
	}
	decoder := json.NewDecoder(strings.NewReader(string(raw)))
	decoder.UseNumber()
	var value any
	if decoder.Decode(&value) != nil {
		return "", false
	}
	return string(appendCanonical(nil, numbered(value), 1<<30)), true
}

func numbered(value any) any {
	switch v := value.(type) {
	case map[string]any:
		for key := range v {
			v[key] = numbered(v[key])
		}
	case []any:
		for i := range v {
			v[i] = numbered(v[i])
		}
	case json.Number:
		number, _ := resolveJSONNumber(v.String())
		return number
	}
	return value
}

func TestValuesAreThoseOfKubectl(t *testing.T) {
	sources := []string{
		"a: |\n  x\n   y\n\n\nb: >-\n  folded\n  text\n\n  more\nc: |+\n  keep\n\n",
		"a: &x {b: 1, c: [1, two, 3.5]}\nd: *x\ne: [*x, *x]\n",
		"base: &b {x: 1, y: 2}\nother:\n  <<: *b\n  x: 3\n",
		"base: &b {x: 1, y: 2}\nother:\n  x: 3\n  <<: *b\n",
		"p: &p {x: 1}\nq: &q {x: 2, y: 2}\nother:\n  <<: [*p, *q]\n  z: 1\n",
		"p: &p {x: 1}\nq: &q {<<: *p, y: 2}\nother:\n  <<: *q\n",
		"a: {<<: {x: 1}, y: 2}\n",
		"\"<<\": 1\n",
		"a: 'it''s'\nb: \"tab\\t\\u00e9\\x41\\n\"\nc: plain # comment\nd: a#b\n",
		"1: a\nyes: b\n1.5: c\n012: d\n",
		"a:\n- 1\n- - 2\n  - 3\n-\n",
		"? a\n: b\n",
		"? &k a\n: b\n? &l c\n: d\n",
		"a: !!int \"3\"\nb: !!float 3\nc: !!str 3\nd: !!bool \"yes\"\ne: !!null \"\"\n",
		"a: multi\n  line\n  plain\n",
		"a: \"multi\n  line\n\n  quoted\"\n",
		"{\"a\": 1, \"b\": [true, null, \"x\"]}\n",
		"a:\r\n  b: c\r\n  d: |\r\n    x\r\n    y\r\n",
		"a: []\nb: {}\nc: ''\nd:\n",
		"__proto__: {x: 1}\nconstructor: 1\n",
		"a: é😀\nb: \"\\U0001F600\"\n",
		"%YAML 1.1\n---\na: 1\n",
		"a: b: c\n", "a: [1\n", "a: *none\n", "a: \"\\q\"\n", "- a\nb: c\n", "\ta: 1\n",
	}
	for _, scalar := range scalars {
		sources = append(sources, "a: "+scalar+"\n", "a: ["+scalar+"]\n")
		// As keys, integers beyond int64 are refused by one and rounded by the other; nobody writes them.
		if len(scalar) < 19 && !strings.HasPrefix(scalar, "!!") {
			sources = append(sources, scalar+": a\n")
		}
	}
	t.Logf("%d documents", len(sources))
	for _, source := range sources {
		theirs, theyDo := valuesOfKubectl(source)
		ours, weDo := valuesOfOurs(t, source)
		if ours != theirs || weDo != theyDo {
			t.Errorf("%q\n  kubectl %t %s\n  ours    %t %s", source, theyDo, theirs, weDo, ours)
		}
	}
}
