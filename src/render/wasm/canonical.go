package main

import (
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"unicode/utf8"
)

// appendCanonical writes a value as canonical JSON: keys sorted by bytes, no white space, integers exact, floats in the
// shortest form encoding/json gives them, no HTML escapes. It stops once the output is longer than limit, so an object
// that aliases blow up costs no more than one that is allowed; the caller compares the length.
func appendCanonical(out []byte, value any, limit int) []byte {
	if len(out) > limit {
		return out
	}
	switch v := value.(type) {
	case nil:
		return append(out, "null"...)
	case bool:
		return strconv.AppendBool(out, v)
	case int64:
		return strconv.AppendInt(out, v, 10)
	case float64:
		return appendFloat(out, v)
	case string:
		return appendString(out, v)
	case []any:
		out = append(out, '[')
		for i, item := range v {
			if i > 0 {
				out = append(out, ',')
			}
			if out = appendCanonical(out, item, limit); len(out) > limit {
				return out
			}
		}
		return append(out, ']')
	case map[string]any:
		keys := make([]string, 0, len(v))
		for key := range v {
			keys = append(keys, key)
		}
		slices.Sort(keys)
		out = append(out, '{')
		for i, key := range keys {
			if i > 0 {
				out = append(out, ',')
			}
			out = appendString(out, key)
			out = append(out, ':')
			if out = appendCanonical(out, v[key], limit); len(out) > limit {
				return out
			}
		}
		return append(out, '}')
	default:
		panic("value of a type that no parser gives")
	}
}

// appendFloat writes what the API server would read back: 1e3 is 1000, -0 is 0.
func appendFloat(out []byte, f float64) []byte {
	if f == 0 {
		return append(out, '0')
	}
	if f == math.Trunc(f) && math.Abs(f) < 1e15 {
		return strconv.AppendInt(out, int64(f), 10)
	}
	text, err := json.Marshal(f)
	if err != nil {
		panic("a number that is not finite passed the parser")
	}
	return append(out, text...)
}

const hexDigits = "0123456789abcdef"

func appendString(out []byte, s string) []byte {
	out = append(out, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			_, size := utf8.DecodeRuneInString(s[i:])
			i += size
			continue
		}
		if c >= 0x20 && c != '"' && c != '\\' {
			i++
			continue
		}
		out = append(out, s[start:i]...)
		switch c {
		case '"', '\\':
			out = append(out, '\\', c)
		case '\n':
			out = append(out, '\\', 'n')
		case '\r':
			out = append(out, '\\', 'r')
		case '\t':
			out = append(out, '\\', 't')
		default:
			out = append(out, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
		i++
		start = i
	}
	out = append(out, s[start:]...)
	return append(out, '"')
}
