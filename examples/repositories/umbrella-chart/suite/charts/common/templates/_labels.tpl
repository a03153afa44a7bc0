{{- define "common.labels" -}}
team: {{ .Values.global.team }}
cluster: {{ .Values.global.cluster }}
{{- end -}}
