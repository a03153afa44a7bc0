package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"go.yaml.in/yaml/v3"
)

// jsonNumberTag marks numbers that follow JSON's grammar rather than YAML's.
const jsonNumberTag = "!json-number"

func looksLikeJSON(content []byte) bool {
	trimmed := bytes.TrimLeft(content, " \t\r\n")
	return len(trimmed) > 0 && trimmed[0] == '{'
}

var (
	errTooDeep = errors.New("too deep")
	errTooLong = errors.New("too long")
	errTooMany = errors.New("too many")
)

// parseJSON reads one or more JSON documents into the same nodes that YAML gives. False means that it is not JSON (a
// file that only looks like it may be a YAML flow mapping); an error of a .json file is in the sink then.
func (p *parser) parseJSON(name string, content []byte) ([]*yaml.Node, bool) {
	r := jsonReader{decoder: json.NewDecoder(bytes.NewReader(content)), content: content, line: 1}
	r.decoder.UseNumber()
	var nodes []*yaml.Node
	for {
		r.start, r.startLine = r.decoder.InputOffset(), r.here()
		node, err := r.node(1)
		switch {
		case err == io.EOF:
			return nodes, true
		case err == errTooDeep:
			p.sink.add(ruleError{Code: codeLimit, Rule: "depth", File: name, Line: r.here(), Limit: maxDepth,
				Message: fmt.Sprintf("nested deeper than %d levels", maxDepth)})
			return nil, true
		case err == errTooLong:
			p.failLongDocument(name, r.startLine, int(r.decoder.InputOffset()-r.start))
			return nil, true
		case err == errTooMany:
			p.sink.add(ruleError{Code: codeLimit, Rule: "value-count", File: name, Line: r.here(), Limit: maxJSONValues,
				Message: fmt.Sprintf("the file has more than %d values; split it", maxJSONValues)})
			return nil, true
		case err != nil:
			if len(name) > 5 && name[len(name)-5:] == ".json" {
				line := r.here()
				var syntax *json.SyntaxError
				if errors.As(err, &syntax) {
					line = 1 + bytes.Count(content[:min(int(syntax.Offset), len(content))], []byte("\n"))
				}
				p.fail(name, line, codeSyntax, "syntax", "not valid JSON: a comma, colon, bracket or quote is missing or misplaced here")
			}
			return nil, false
		case len(nodes) == maxDocuments:
			p.sink.add(ruleError{Code: codeLimit, Rule: "documents-per-file", File: name, Line: node.Line, Limit: maxDocuments,
				Message: fmt.Sprintf("the file has more than %d documents; split it", maxDocuments)})
			return nil, true
		}
		nodes = append(nodes, node)
	}
}

type jsonReader struct {
	decoder *json.Decoder
	content []byte
	// line is the line at offset counted.
	line    int
	counted int
	// start is where the current document starts.
	start     int64
	startLine int
	values    int
}

// here is the line of what was read last.
func (r *jsonReader) here() int {
	offset := min(int(r.decoder.InputOffset()), len(r.content))
	r.line += bytes.Count(r.content[r.counted:offset], []byte("\n"))
	r.counted = offset
	return r.line
}

func (r *jsonReader) node(depth int) (*yaml.Node, error) {
	token, err := r.decoder.Token()
	if err != nil {
		return nil, err
	}
	line := r.here()
	if r.decoder.InputOffset()-r.start > maxDocumentBytes {
		return nil, errTooLong
	}
	if r.values++; r.values > maxJSONValues {
		return nil, errTooMany
	}
	scalar := func(tag, text string, style yaml.Style) *yaml.Node {
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: tag, Value: text, Style: style, Line: line}
	}
	switch t := token.(type) {
	case nil:
		return scalar("!!null", "null", 0), nil
	case bool:
		if t {
			return scalar("!!bool", "true", 0), nil
		}
		return scalar("!!bool", "false", 0), nil
	case json.Number:
		return scalar(jsonNumberTag, t.String(), 0), nil
	case string:
		return scalar("!!str", t, yaml.DoubleQuotedStyle), nil
	case json.Delim:
		if depth > maxDepth {
			return nil, errTooDeep
		}
		node := &yaml.Node{Kind: yaml.SequenceNode, Line: line}
		if t == '{' {
			node.Kind = yaml.MappingNode
		}
		for r.decoder.More() {
			child, err := r.node(depth + 1)
			if err != nil {
				return nil, noEOF(err)
			}
			node.Content = append(node.Content, child)
		}
		_, err := r.decoder.Token()
		return node, noEOF(err)
	}
	return nil, errors.New("unexpected token")
}

func noEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
