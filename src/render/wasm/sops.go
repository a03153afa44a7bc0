package main

import (
	"bytes"
	"regexp"
)

var (
	sopsYAML   = regexp.MustCompile(`(?m)^sops:[ \t]*(\{.*)?$`)
	sopsMac    = regexp.MustCompile(`(?m)^[ \t]+"?mac"?:[ \t]*["']?ENC\[`)
	sopsJSON   = regexp.MustCompile(`(?m)^[ \t]*"sops"[ \t]*:[ \t]*\{`)
	sopsDotenv = regexp.MustCompile(`(?m)^sops_mac=ENC\[`)
)

// encryptedFile refuses what SOPS encrypted: nobody here has its key, and its ciphertext must not be delivered as if it were
// the value. Source: https://github.com/getsops/sops#encryption-protocol
func encryptedFile(name string, content []byte) (ruleError, bool) {
	if !bytes.Contains(content, []byte("sops")) {
		return ruleError{}, false
	}
	at := sopsDotenv.FindIndex(content)
	if at == nil && sopsMac.Match(content) {
		if at = sopsYAML.FindIndex(content); at == nil {
			at = sopsJSON.FindIndex(content)
		}
	}
	if at == nil {
		return ruleError{}, false
	}
	return ruleError{Code: codeEngine, Rule: "sops", File: name, Line: 1 + bytes.Count(content[:at[0]], []byte("\n")),
		Message: "the file is encrypted with SOPS, which is not decrypted yet; deliver a Secret that a controller in the cluster fills (External Secrets, Sealed Secrets), or remove the file"}, true
}
