package main

import (
	"bytes"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"
)

var yamlErrorLine = regexp.MustCompile(`^yaml: line (\d+): `)

var yamlUnknownAnchor = regexp.MustCompile(`unknown anchor '([^']*)' referenced`)

// yamlQuoted finds what the YAML library repeats out of the input: an unquoted `*hunter2` is an unknown alias, and a
// password must not travel in an error.
var yamlQuoted = regexp.MustCompile("'[^']*'|`[^`]*`|\"[^\"]*\"")

var yamlHints = []struct{ says, means string }{
	{"unknown anchor", "an alias (*name) refers to an anchor that is not there; quote the value if it just starts with *"},
	{"found character that cannot start any token", "this character cannot start a value; quote the value"},
	{"did not find expected ',' or '}'", "a { is not closed, or a value starts with {{ and is not quoted"},
	{"mapping values are not allowed", "a colon followed by a space inside a plain value; quote the value"},
	{"control characters are not allowed", "the file has control characters; remove them"},
}

// syntax reports what the YAML library said, at the line it meant.
func (p *parser) syntax(name string, content []byte, err error) {
	message := err.Error()
	line := 0
	if match := yamlErrorLine.FindStringSubmatch(message); match != nil {
		line, _ = strconv.Atoi(match[1])
	}
	if tab := lineIndentedWithTab(content, line); tab > 0 &&
		(strings.Contains(message, "cannot start any token") || strings.Contains(message, "tab")) {
		p.fail(name, tab, codeSyntax, "tab-indent", "the line is indented with a tab; YAML takes spaces only")
		return
	}
	if strings.Contains(message, "exceeded max depth") {
		p.sink.add(ruleError{Code: codeLimit, Rule: "depth", File: name, Line: max(line, 1), Limit: maxDepth, Message: "nested deeper than 100 levels"})
		return
	}
	if strings.Contains(message, "control characters") || line == 0 {
		if at := lineOfControlCharacter(content); at > 0 {
			line = at
		}
	}
	if match := yamlUnknownAnchor.FindStringSubmatch(message); match != nil {
		// The library gives no line for this one.
		if at := bytes.Index(content, []byte("*"+match[1])); at >= 0 {
			line = 1 + bytes.Count(content[:at], []byte("\n"))
		}
	}
	line = max(line, 1)
	message = strings.TrimPrefix(yamlErrorLine.ReplaceAllString(message, ""), "yaml: ")
	for _, hint := range yamlHints {
		if strings.Contains(message, hint.says) {
			p.fail(name, line, codeSyntax, "syntax", "not valid YAML: "+hint.means)
			return
		}
	}
	// Scanner messages quote single characters of the grammar; whatever else is quoted is input.
	message = yamlQuoted.ReplaceAllStringFunc(message, func(quoted string) string {
		if len(quoted) <= 3 {
			return quoted
		}
		return "…"
	})
	p.fail(name, line, codeSyntax, "syntax", "not valid YAML: "+message)
}

// lineIndentedWithTab gives the first line, from shortly before the reported one on, whose indentation has a tab.
func lineIndentedWithTab(content []byte, reported int) int {
	line := 0
	for rest := content; len(rest) > 0; {
		line++
		var current []byte
		current, rest, _ = bytes.Cut(rest, []byte("\n"))
		indent := current[:len(current)-len(bytes.TrimLeft(current, " \t"))]
		if line >= reported-1 && bytes.IndexByte(indent, '\t') >= 0 && len(bytes.TrimSpace(current)) > 0 {
			return line
		}
		if line > reported+1 {
			return 0
		}
	}
	return 0
}

func lineOfInvalidUTF8(content []byte) int {
	line := 1
	for i := 0; i < len(content); {
		r, size := utf8.DecodeRune(content[i:])
		if r == utf8.RuneError && size == 1 {
			return line
		}
		if r == '\n' {
			line++
		}
		i += size
	}
	return line
}

func lineOfControlCharacter(content []byte) int {
	line := 1
	for _, r := range string(content) {
		switch {
		case r == '\n':
			line++
		case r < 0x20 && r != '\t' && r != '\r', r == 0x7f, r >= 0x80 && r < 0xa0 && r != 0x85, r == 0xfffe, r == 0xffff:
			return line
		}
	}
	return 0
}
