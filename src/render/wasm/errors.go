package main

import (
	"fmt"
	"strconv"
	"unicode/utf8"
)

// Stable codes of the errors a render can end with. What a person must do differs per rule; who must act differs per code.
const (
	codeInvalid     = "FL_RENDER_INVALID"      // an object the API server would not take, or that must not come from Git
	codeSyntax      = "FL_RENDER_SYNTAX"       // not YAML or JSON
	codeLimit       = "FL_RENDER_LIMIT"        // larger, deeper or more than is allowed
	codeVariable    = "FL_RENDER_VARIABLE"     // a ${cluster.…} that does not resolve
	codeEngine      = "FL_RENDER_ENGINE"       // needs an engine that is not there
	codeNoRecipient = "FL_RENDER_NO_RECIPIENT" // secret data and nobody to seal it to
	codeRequest     = "FL_RENDER_REQUEST"      // options that cannot be used
	codeInternal    = "FL_RENDER_INTERNAL"     // our own defect
)

// maxErrors bounds how many errors one render reports; the 21st becomes a count.
const maxErrors = 20

// ruleError is one thing wrong with the input, at a place a person can go to. No field ever holds a value out of a
// Secret, and nothing out of the input is put into a message unquoted.
type ruleError struct {
	Code    string `json:"code"`
	Rule    string `json:"rule"`
	File    string `json:"file,omitempty"`
	Line    int    `json:"line,omitempty"`
	Object  string `json:"object,omitempty"`
	Message string `json:"message"`
	Limit   any    `json:"limit,omitempty"`
	Value   any    `json:"value,omitempty"`
}

// errorSink collects the errors of a render.
type errorSink struct {
	errors  []ruleError
	dropped int
}

func (s *errorSink) add(e ruleError) {
	if len(s.errors) >= maxErrors {
		s.dropped++
		return
	}
	s.errors = append(s.errors, e)
}

func (s *errorSink) count() int { return len(s.errors) + s.dropped }

// all gives the collected errors, and one more that counts the rest.
func (s *errorSink) all() []ruleError {
	if s.dropped == 0 {
		return s.errors
	}
	return append(s.errors, ruleError{
		Code: codeInvalid, Rule: "more-errors", Limit: maxErrors, Value: s.count(),
		Message: fmt.Sprintf("%d more errors are not shown; fix these first", s.dropped),
	})
}

// quote makes a piece of the input safe to print: no control or direction characters, at most 80 characters.
func quote(text string) string {
	const most = 80
	if len(text) > most {
		cut := most
		for cut > 0 && !utf8.RuneStart(text[cut]) {
			cut--
		}
		text = text[:cut] + "…"
	}
	return strconv.Quote(text)
}
