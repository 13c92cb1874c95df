{{- define "needletail.selector" -}}
k8s-app: needletail
{{- end }}

{{- define "needletail.labels" -}}
{{ include "needletail.selector" . }}
app.kubernetes.io/name: needletail
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "needletail.account" -}}
{{ .Values.serviceAccount.name | default "needletail" }}
{{- end }}

{{- define "needletail.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{/* The file of kube-proxy's format: the chart's own values, and what the user adds. */}}
{{- define "needletail.config" -}}
{{- $own := dict "apiVersion" "kubeproxy.config.k8s.io/v1alpha1" "kind" "KubeProxyConfiguration" "mode" .Values.mode "metricsBindAddress" "0.0.0.0:10249" -}}
{{- if .Values.clusterCIDR }}{{ $_ := set $own "clusterCIDR" .Values.clusterCIDR }}{{ end -}}
{{- mustMergeOverwrite $own (deepCopy .Values.config) | toYaml }}
{{- end }}
