package main

import (
	"bytes"
	"fmt"
	"math"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// document is one parsed YAML or JSON document: plain values (map[string]any, []any, string, int64, float64, bool, nil)
// and the nodes they came from, for positions.
type document struct {
	file  string
	value map[string]any
	node  *yaml.Node
}

// parser turns texts into documents. It holds no state between texts but what it reports and counts.
type parser struct {
	sink *errorSink
	// cluster is nil unless the application opted in to variables in manifests.
	cluster *clusterVariables
	used    map[string]bool
	// at is told where the parser is, so that a crash can be reported with a place.
	at func(name string, line int)
	// laterKeysWin takes a key that is written twice as Helm does; otherwise it is refused.
	laterKeysWin bool
}

// parse gives the documents of a text; empty ones are left out. What it cannot take goes to the sink.
func (p *parser) parse(t text) []document {
	content := bytes.TrimPrefix(t.bytes, []byte("\xef\xbb\xbf"))
	p.at(t.name, 1)
	p.laterKeysWin = t.laterKeysWin
	if !utf8.Valid(content) {
		p.fail(t.name, lineOfInvalidUTF8(content), codeSyntax, "utf8", "this line is not valid UTF-8; save the file as UTF-8")
		return nil
	}
	if looksLikeJSON(content) {
		if nodes, ok := p.parseJSON(t.name, content); ok {
			return p.convertAll(t.name, nodes)
		}
		if strings.HasSuffix(t.name, ".json") {
			return nil
		}
	}
	return p.parseYAML(t.name, content)
}

func (p *parser) parseYAML(name string, content []byte) []document {
	if line, length := longDocument(content); line > 0 {
		p.failLongDocument(name, line, length)
		return nil
	}
	decoder := yaml.NewDecoder(bytes.NewReader(content))
	var documents []document
	for count := 1; ; count++ {
		var root yaml.Node
		more, err := decodeNode(decoder, &root)
		if err != nil {
			p.syntax(name, content, err)
			return documents
		}
		if !more {
			return documents
		}
		if count > maxDocuments {
			p.sink.add(ruleError{Code: codeLimit, Rule: "documents-per-file", File: name, Line: root.Line, Limit: maxDocuments,
				Message: fmt.Sprintf("the file has more than %d documents; split it", maxDocuments)})
			return documents
		}
		p.at(name, root.Line)
		if len(root.Content) == 1 {
			documents = p.convert(documents, name, root.Content[0])
		}
	}
}

func (p *parser) failLongDocument(name string, line, length int) {
	p.sink.add(ruleError{Code: codeLimit, Rule: "document-size", File: name, Line: line, Limit: maxDocumentBytes, Value: length,
		Message: fmt.Sprintf("the document that starts here is longer than %d bytes", maxDocumentBytes)})
}

// longDocument finds a document that is too long before anything is parsed. A line that starts with --- separates
// documents wherever it stands (YAML 1.2.2, 9.1.2), so no parser is needed for that.
func longDocument(content []byte) (line, length int) {
	if len(content) <= maxDocumentBytes {
		return 0, 0
	}
	start := 0
	for start < len(content) {
		end := len(content)
		if next := bytes.Index(content[start:], []byte("\n---")); next >= 0 {
			end = start + next + 1
		}
		if end-start > maxDocumentBytes {
			return 1 + bytes.Count(content[:start], []byte("\n")), end - start
		}
		start = end
	}
	return 0, 0
}

// decodeNode reads one document; a panic of the YAML library is an error like any other.
func decodeNode(decoder *yaml.Decoder, root *yaml.Node) (more bool, err error) {
	defer func() {
		if thrown := recover(); thrown != nil {
			err = fmt.Errorf("the YAML parser cannot read this")
		}
	}()
	err = decoder.Decode(root)
	if err != nil && err.Error() == "EOF" {
		return false, nil
	}
	return err == nil, err
}

func (p *parser) convertAll(name string, nodes []*yaml.Node) []document {
	var documents []document
	for _, node := range nodes {
		documents = p.convert(documents, name, node)
	}
	return documents
}

func (p *parser) convert(documents []document, name string, node *yaml.Node) []document {
	c := converter{parser: p, file: name, left: maxAliasNodes}
	before := p.sink.count()
	value, ok := c.value(node, 1)
	if !ok || p.sink.count() > before || value == nil {
		return documents
	}
	object, isMap := value.(map[string]any)
	if !isMap {
		p.fail(name, node.Line, codeInvalid, "not-an-object",
			"this document is not a Kubernetes object but "+kindOfValue(value)+"; start it with apiVersion and kind, or move the file out of the directory")
		return documents
	}
	return append(documents, document{file: name, value: object, node: node})
}

func (p *parser) fail(file string, line int, code, rule, message string) {
	p.sink.add(ruleError{Code: code, Rule: rule, File: file, Line: line, Message: message})
}

// converter turns the node tree of one document into values, expanding aliases and merges within a budget.
type converter struct {
	*parser
	file string
	// left is how many more values aliases and merges may copy.
	left    int
	copying int
	open    []*yaml.Node
}

// value gives the value of a node. False means that the document is given up; anything less is in the sink.
func (c *converter) value(n *yaml.Node, depth int) (any, bool) {
	if depth > maxDepth {
		return c.stop(n, codeLimit, "depth", maxDepth, fmt.Sprintf("nested deeper than %d levels", maxDepth))
	}
	if c.copying > 0 {
		if c.left--; c.left < 0 {
			return c.stop(n, codeLimit, "alias-expansion", maxAliasNodes,
				fmt.Sprintf("aliases and merges of this document expand to more than %d values", maxAliasNodes))
		}
	}
	switch n.Kind {
	case yaml.ScalarNode:
		return c.scalar(n), true
	case yaml.AliasNode:
		return c.alias(n, func(target *yaml.Node) (any, bool) { return c.value(target, depth) })
	case yaml.SequenceNode:
		if !c.hasTag(n, "!!seq") {
			return nil, true
		}
		items := make([]any, 0, len(n.Content))
		for _, child := range n.Content {
			item, ok := c.value(child, depth+1)
			if !ok {
				return nil, false
			}
			items = append(items, item)
		}
		return items, true
	case yaml.MappingNode:
		if !c.hasTag(n, "!!map") {
			return nil, true
		}
		out := make(map[string]any, len(n.Content)/2)
		return out, c.mapping(n, out, depth)
	default:
		return c.stop(n, codeSyntax, "syntax", nil, "the YAML parser gave something unexpected here")
	}
}

// mapping writes the entries of a node into out. Like go.yaml.in/yaml/v2 (kubectl), it takes entries and merges in the
// order in which they are written, the later one winning; a key written twice is refused, but in what charts print.
func (c *converter) mapping(n *yaml.Node, out map[string]any, depth int) bool {
	lines := make(map[string]int, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		keyNode, child := n.Content[i], n.Content[i+1]
		isMerge := isMergeKey(keyNode)
		key := "<<"
		if !isMerge {
			var ok bool
			if key, ok = c.key(keyNode); !ok {
				continue
			}
		}
		if first, twice := lines[key]; twice && !c.laterKeysWin {
			c.fail(c.file, keyNode.Line, codeInvalid, "duplicate-key",
				fmt.Sprintf("key %s is written twice, first on line %d; keep one", quote(key), first))
			continue
		}
		lines[key] = keyNode.Line
		if isMerge {
			if !c.merge(child, out, depth) {
				return false
			}
			continue
		}
		value, ok := c.value(child, depth+1)
		if !ok {
			return false
		}
		out[key] = value
	}
	return true
}

func isMergeKey(n *yaml.Node) bool {
	return n.Kind == yaml.ScalarNode && n.Value == "<<" && (n.Style&^yaml.TaggedStyle == 0) && n.Tag != "!!str"
}

func (c *converter) merge(n *yaml.Node, out map[string]any, depth int) bool {
	if depth > maxDepth {
		_, ok := c.stop(n, codeLimit, "depth", maxDepth, fmt.Sprintf("merges nested deeper than %d levels", maxDepth))
		return ok
	}
	switch n.Kind {
	case yaml.AliasNode:
		_, ok := c.alias(n, func(target *yaml.Node) (any, bool) {
			if target.Kind != yaml.MappingNode {
				return c.stop(n, codeInvalid, "merge", nil, "a merge (<<) takes a mapping or a list of mappings")
			}
			return nil, c.mapping(target, out, depth+1)
		})
		return ok
	case yaml.MappingNode:
		return c.mapping(n, out, depth+1)
	case yaml.SequenceNode:
		// The first one listed wins, so it is written last.
		for i := len(n.Content) - 1; i >= 0; i-- {
			if n.Content[i].Kind == yaml.SequenceNode {
				break
			}
			if !c.merge(n.Content[i], out, depth+1) {
				return false
			}
		}
		return true
	}
	_, ok := c.stop(n, codeInvalid, "merge", nil, "a merge (<<) takes a mapping or a list of mappings")
	return ok
}

func (c *converter) alias(n *yaml.Node, with func(target *yaml.Node) (any, bool)) (any, bool) {
	for _, open := range c.open {
		if open == n.Alias {
			return c.stop(n, codeInvalid, "alias-cycle", nil, "an alias refers to something that contains it")
		}
	}
	c.open = append(c.open, n.Alias)
	c.copying++
	value, ok := with(n.Alias)
	c.copying--
	c.open = c.open[:len(c.open)-1]
	return value, ok
}

func (c *converter) scalar(n *yaml.Node) any {
	value, ok := c.resolve(n)
	if !ok {
		return nil
	}
	switch v := value.(type) {
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			c.fail(c.file, n.Line, codeInvalid, "non-finite-number", "JSON has no NaN and no infinity; quote it if a string is meant")
			return nil
		}
	case string:
		if c.cluster != nil {
			return c.expand(n, v)
		}
	}
	return value
}

func (c *converter) resolve(n *yaml.Node) (any, bool) {
	if n.Tag == jsonNumberTag {
		value, ok := resolveJSONNumber(n.Value)
		if !ok {
			c.fail(c.file, n.Line, codeInvalid, "number-range", "this number is beyond a 64-bit float")
		}
		return value, ok
	}
	if n.Style&yaml.TaggedStyle == 0 {
		if n.Style == 0 {
			return resolvePlain(n.Value), true
		}
		return n.Value, true
	}
	if n.Tag == "!!str" || n.Tag == "!" {
		return n.Value, true
	}
	value := resolvePlain(n.Value)
	wanted := false
	switch n.Tag {
	case "!!int":
		_, wanted = value.(int64)
	case "!!float":
		switch value.(type) {
		case int64, float64:
			wanted = true
		}
	case "!!bool":
		_, wanted = value.(bool)
	case "!!null":
		wanted = value == nil
	default:
		c.unknownTag(n)
		return nil, false
	}
	if !wanted {
		c.fail(c.file, n.Line, codeInvalid, "tag-mismatch", "the value is not what its tag "+quote(n.Tag)+" says; drop the tag or correct the value")
	}
	return value, wanted
}

func (c *converter) hasTag(n *yaml.Node, tag string) bool {
	if n.Style&yaml.TaggedStyle == 0 || n.Tag == tag || n.Tag == "!" {
		return true
	}
	c.unknownTag(n)
	return false
}

func (c *converter) unknownTag(n *yaml.Node) {
	hint := "drop it"
	if n.Tag == "!!binary" {
		hint = "write the base64 text as a plain string"
	}
	c.fail(c.file, n.Line, codeInvalid, "unknown-tag", "YAML tag "+quote(n.Tag)+" is not allowed in Kubernetes objects; "+hint)
}

func (c *converter) key(n *yaml.Node) (string, bool) {
	target := n
	if n.Kind == yaml.AliasNode {
		target = n.Alias
	}
	if target.Kind != yaml.ScalarNode {
		c.fail(c.file, n.Line, codeInvalid, "key-form", "a mapping key must be a string; did a template placeholder such as {{ … }} stay unrendered?")
		return "", false
	}
	value, ok := c.resolve(target)
	if !ok {
		return "", false
	}
	key, ok := keyText(value)
	if !ok {
		c.fail(c.file, n.Line, codeInvalid, "key-form", "a mapping key must be a string; quote it")
		return "", false
	}
	if c.cluster != nil && strings.Contains(key, variablePrefix) {
		c.fail(c.file, n.Line, codeVariable, "variable-in-key", "variables are substituted in values, not in keys; write the key out")
		return "", false
	}
	return key, true
}

func (c *converter) expand(n *yaml.Node, text string) any {
	expanded, failure := c.cluster.expand(text, c.used)
	if failure == nil {
		return expanded
	}
	line := n.Line
	if n.Style&yaml.LiteralStyle != 0 {
		line += 1 + strings.Count(text[:failure.offset], "\n")
	}
	c.fail(c.file, line, codeVariable, failure.rule, failure.message)
	return nil
}

func (c *converter) stop(n *yaml.Node, code, rule string, limit any, message string) (any, bool) {
	c.sink.add(ruleError{Code: code, Rule: rule, File: c.file, Line: n.Line, Limit: limit, Message: message})
	return nil, false
}

func kindOfValue(value any) string {
	switch value.(type) {
	case nil:
		return "null"
	case bool:
		return "a boolean"
	case int64, float64:
		return "a number"
	case string:
		return "a string"
	case []any:
		return "a list"
	case map[string]any:
		return "a mapping"
	default:
		return "something else"
	}
}
