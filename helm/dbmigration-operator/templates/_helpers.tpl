{{- define "dbmigration.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" }}
{{- end }}

{{- define "dbmigration.fullname" -}}
{{- $name := include "dbmigration.name" . }}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride }}
{{- else if contains $name .Release.Name }}
{{- .Release.Name | trunc 40 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "dbmigration.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "dbmigration.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- required "serviceAccount.name is needed where serviceAccount.create is false" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "dbmigration.selectorLabels" -}}
app.kubernetes.io/name: {{ include "dbmigration.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "dbmigration.labels" -}}
{{ include "dbmigration.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- /* The reference of an image, from a list of the image's values and the tag that is meant by an empty one. */ -}}
{{- define "dbmigration.image" -}}
{{- $image := index . 0 }}
{{- with $image.registry }}{{ . }}/{{ end }}{{ $image.repository }}
{{- if $image.digest }}@{{ $image.digest }}{{ else }}:{{ default (index . 1) $image.tag }}{{ end }}
{{- end }}

{{- /* The watched namespaces, separated by commas; empty for all of them. */ -}}
{{- define "dbmigration.namespaces" -}}
{{- if eq .Values.watch.scope "Own" }}{{ .Release.Namespace }}
{{- else if eq .Values.watch.scope "Listed" }}{{ join "," .Values.watch.namespaces }}
{{- end }}
{{- end }}

{{- /* What the operator may do where it watches. No Secret, ever: Jobs mount them. */ -}}
{{- define "dbmigration.rules" -}}
- apiGroups: [dbmigration.io]
  resources: [databasemigrations]
  verbs: [get, list, watch, patch]
- apiGroups: [dbmigration.io]
  resources: [databasemigrations/status, databaserestores/status]
  verbs: [patch]
- apiGroups: [dbmigration.io]
  resources: [databaserestores]
  verbs: [list, watch]
- apiGroups: [batch]
  resources: [jobs]
  verbs: [get, list, watch, create, delete]
# What drain.workloads names, and only by its scale.
- apiGroups: [apps]
  resources: [deployments, statefulsets]
  verbs: [get]
- apiGroups: [apps]
  resources: [deployments/scale, statefulsets/scale]
  verbs: [patch]
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch]
- apiGroups: [""]
  resources: [pods/log]
  verbs: [get]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, list]
{{- end }}
