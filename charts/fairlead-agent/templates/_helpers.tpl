{{/* Labels that select: never change them. */}}
{{- define "agent.selector" -}}
app.kubernetes.io/name: fairlead-agent
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "agent.labels" -}}
{{ include "agent.selector" . }}
app.kubernetes.io/part-of: fairlead
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "agent.image" -}}
{{- $repository := required "image.repository is missing: build the image with charts/fairlead-agent/Containerfile, push it and say where it is" .Values.image.repository -}}
{{- if .Values.image.digest -}}
{{ printf "%s@%s" $repository .Values.image.digest }}
{{- else -}}
{{ printf "%s:%s" $repository (.Values.image.tag | default .Chart.AppVersion) }}
{{- end -}}
{{- end }}

{{/* Name of the Secret with the join token; empty: the agent has joined already. */}}
{{- define "agent.joinSecret" -}}
{{- if and .Values.joinToken.existingSecret .Values.joinToken.value -}}
{{- fail "joinToken.existingSecret and joinToken.value exclude each other" -}}
{{- end -}}
{{- if .Values.joinToken.value -}}fairlead-agent-join{{- else -}}{{ .Values.joinToken.existingSecret }}{{- end -}}
{{- end }}

{{/* Cluster-scoped names carry the namespace, so that two agents of two planes do not share them. */}}
{{- define "agent.clusterName" -}}
fairlead-agent:{{ .Release.Namespace }}
{{- end }}

{{- define "agent.subjects" -}}
subjects:
  - kind: ServiceAccount
    name: {{ .Values.serviceAccount.name }}
    namespace: {{ .Release.Namespace }}
{{- end }}

{{- define "agent.checkProfile" -}}
{{- with .Values.profile -}}
{{- if and (eq .kind "namespaces") (not .namespaces) -}}
{{- fail "choose what the agent may do: profile.namespaces names no namespace; list those it delivers into, or set profile.kind to clusterRole (with profile.clusterRole) or admin" -}}
{{- end -}}
{{- if and (ne .kind "namespaces") .namespaces -}}
{{- fail (printf "profile.namespaces says nothing with profile.kind %s; remove one of the two" .kind) -}}
{{- end -}}
{{- if and (eq .kind "clusterRole") (not .clusterRole) -}}
{{- fail "profile.clusterRole is missing: name the ClusterRole that says what the agent may do" -}}
{{- end -}}
{{- if and (ne .kind "clusterRole") .clusterRole -}}
{{- fail (printf "profile.clusterRole says nothing with profile.kind %s; remove one of the two" .kind) -}}
{{- end -}}
{{- end -}}
{{- end }}
