package main

import (
	"math"
	"regexp"
	"strconv"
	"strings"
)

// resolvePlain gives a plain (unquoted) YAML scalar the value that sigs.k8s.io/yaml, and so kubectl, gives it: YAML 1.1
// booleans (yes, on, y), octals (012), no sexagesimals, timestamps as strings. The rules and their order are those of
// go.yaml.in/yaml/v2 resolve(); TestValuesAreThoseOfKubectl compares the two.
//
// Integers beyond int64 become float64, as they do in the API server.
func resolvePlain(text string) any {
	if text == "" {
		return nil
	}
	if named, ok := namedScalars[text]; ok {
		return named
	}
	switch c := text[0]; {
	case c == '.':
		if f, err := strconv.ParseFloat(text, 64); err == nil {
			return f
		}
	case c == '+' || c == '-' || (c >= '0' && c <= '9'):
		if n, ok := resolveNumber(strings.ReplaceAll(text, "_", "")); ok {
			return n
		}
	}
	return text
}

func resolveNumber(plain string) (any, bool) {
	if i, err := strconv.ParseInt(plain, 0, 64); err == nil {
		return i, true
	}
	if u, err := strconv.ParseUint(plain, 0, 64); err == nil {
		return float64(u), true
	}
	if yamlFloat.MatchString(plain) {
		if f, err := strconv.ParseFloat(plain, 64); err == nil {
			return f, true
		}
	}
	return nil, false
}

var yamlFloat = regexp.MustCompile(`^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$`)

var namedScalars = func() map[string]any {
	named := map[string]any{}
	for value, words := range map[any][]string{
		true:         {"y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"},
		false:        {"n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"},
		math.Inf(1):  {".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"},
		math.Inf(-1): {"-.inf", "-.Inf", "-.INF"},
	} {
		for _, word := range words {
			named[word] = value
		}
	}
	for _, word := range []string{"~", "null", "Null", "NULL"} {
		named[word] = nil
	}
	for _, word := range []string{".nan", ".NaN", ".NAN"} {
		named[word] = math.NaN()
	}
	return named
}()

// resolveJSONNumber follows k8s.io/apimachinery/pkg/util/json: int64 where it fits, else float64; false when the number
// is beyond float64.
func resolveJSONNumber(text string) (any, bool) {
	if i, err := strconv.ParseInt(text, 10, 64); err == nil {
		return i, true
	}
	f, err := strconv.ParseFloat(text, 64)
	return f, err == nil
}

// keyText writes a scalar used as a mapping key as sigs.k8s.io/yaml does; false for null and for what it refuses.
func keyText(value any) (string, bool) {
	switch v := value.(type) {
	case string:
		return v, true
	case bool:
		return strconv.FormatBool(v), true
	case int64:
		return strconv.FormatInt(v, 10), true
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return "", false
		}
		return strconv.FormatFloat(v, 'g', -1, 32), true
	default:
		return "", false
	}
}
