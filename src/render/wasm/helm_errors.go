//go:build !small

package main

import (
	"path"
	"regexp"
	"strconv"
	"strings"
)

var (
	templatePlace = regexp.MustCompile(`([\w.-]+(?:/[\w.@ -]+)+):(\d+)(?::\d+)?`)
	executionAt   = regexp.MustCompile(`(?s)^(?:execution|parse) error at \(([^():]+):(\d+)(?::\d+)?\): (.*)$`)
	outputOf      = regexp.MustCompile(`(?s)^YAML parse error on ([^:]+): (.*)$`)
	patternValue  = regexp.MustCompile(`'[^']*' does not match pattern`)
	tplText       = regexp.MustCompile(`(?s)(cannot parse template|error during tpl function execution for) ".*?[^\\]":`)
	lineNumber    = regexp.MustCompile(`\bline (\d+)`)
)

func lineIn(message string) int {
	if at := lineNumber.FindStringSubmatch(message); at != nil {
		line, _ := strconv.Atoi(at[1])
		return line
	}
	return 1
}

func (h *helmRun) fail(message string) {
	h.failAt(path.Join(h.r.Path, "Chart.yaml"), 1, message)
}

func (h *helmRun) failAt(file string, line int, message string) {
	h.sink.add(ruleError{Code: codeInvalid, Rule: "chart", File: file, Line: line, Message: clipTo(message, 600)})
}

// failTemplate finds the template and line that an error of a template is about: the innermost of those it names.
func (h *helmRun) failTemplate(err error) {
	message := tplText.ReplaceAllString(err.Error(), "$1 …:")
	e := ruleError{Code: codeInvalid, Rule: "template", File: path.Join(h.r.Path, "Chart.yaml"), Line: 1}
	if at := executionAt.FindStringSubmatch(message); at != nil {
		e.File, e.Message = h.placeOf(at[1]), at[3]
		e.Line, _ = strconv.Atoi(at[2])
	} else if places := templatePlace.FindAllStringSubmatch(message, -1); len(places) > 0 {
		last := places[len(places)-1]
		e.File = h.placeOf(last[1])
		e.Line, _ = strconv.Atoi(last[2])
		lines := strings.Split(strings.TrimSpace(message), "\n")
		e.Message = lines[len(lines)-1]
		if len(lines) > 2 {
			e.Message = strings.TrimSpace(lines[len(lines)-2]) + " " + strings.TrimSpace(e.Message)
		}
		if first := places[0]; first[1] != last[1] {
			e.Message += " (used by " + h.placeOf(first[1]) + ", line " + first[2] + ")"
		}
	} else {
		e.Message = message
	}
	e.Message = clipTo(e.Message, 600)
	h.sink.add(e)
}

// failOutput is about what a template made, which is not YAML.
func (h *helmRun) failOutput(err error) {
	message := err.Error()
	file := path.Join(h.r.Path, "Chart.yaml")
	if at := outputOf.FindStringSubmatch(message); at != nil {
		file = h.placeOf(at[1])
		message = strings.TrimPrefix(strings.TrimPrefix(at[2], "error converting YAML to JSON: "), "yaml: ")
		message = "what the template makes is not YAML (lines are those of its output): " + message
	}
	h.sink.add(ruleError{Code: codeSyntax, Rule: "template-output", File: file, Line: 1, Message: clipTo(message, 600)})
}

// failValues is about values that the chart's schema refuses. The schema's words name paths; values are left out.
func (h *helmRun) failValues(err error) {
	message := patternValue.ReplaceAllString(err.Error(), "the value does not match pattern")
	message = strings.TrimPrefix(message, "values don't meet the specifications of the schema(s) in the following chart(s):\n")
	h.sink.add(ruleError{Code: codeInvalid, Rule: "values-schema", File: path.Join(h.r.Path, "values.schema.json"), Line: 1,
		Message: "the values do not fit the chart's schema: " + clipTo(message, 600)})
}
