{{/* Labels that select: never change them. */}}
{{- define "plane.selector" -}}
app.kubernetes.io/name: fairlead
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "plane.labels" -}}
{{ include "plane.selector" . }}
app.kubernetes.io/part-of: fairlead
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "plane.name" -}}
{{- if contains "fairlead" .Release.Name }}{{ .Release.Name | trunc 52 | trimSuffix "-" }}{{ else }}{{ printf "%s-fairlead" .Release.Name | trunc 52 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "plane.image" -}}
{{- $repository := required "image.repository is missing: build the image with charts/fairlead/Containerfile, push it and say where it is" .Values.image.repository -}}
{{- if .Values.image.digest -}}
{{ printf "%s@%s" $repository .Values.image.digest }}
{{- else -}}
{{ printf "%s:%s" $repository (.Values.image.tag | default .Chart.AppVersion) }}
{{- end -}}
{{- end }}

{{- define "plane.serviceHost" -}}
{{ include "plane.name" . }}.{{ .Release.Namespace }}.svc
{{- end }}

{{- define "plane.url" -}}
{{ .Values.externalUrl | default (printf "https://%s:%v" (include "plane.serviceHost" .) .Values.service.port) }}
{{- end }}

{{- define "plane.checkDatabase" -}}
{{- if .Values.database.existingSecret -}}
{{- if not .Values.keys.existingSecret -}}
{{- fail "keys.existingSecret is missing: several processes need the same keys; charts/fairlead/README.md says how to make them" -}}
{{- end -}}
{{- else -}}
{{- if gt (int .Values.replicas) 1 -}}
{{- fail (printf "replicas is %v, and SQLite has one process: set database.existingSecret to use PostgreSQL" .Values.replicas) -}}
{{- end -}}
{{- if .Values.keys.existingSecret -}}
{{- fail "keys.existingSecret is for PostgreSQL: on SQLite the keys are on the volume" -}}
{{- end -}}
{{- end -}}
{{- end }}
