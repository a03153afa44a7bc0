{{- define "helpers.labels" -}}
app: {{ .Chart.Name }}
{{- if .Values.extra }}
{{ toYaml .Values.extra }}
{{- end }}
{{- end -}}
