{{- /* Names, labels and what several templates say. */ -}}

{{- define "epic-mesos.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- /* Pods add "-N" to it and Services up to "-headless"; a name of DNS has 63 characters. */ -}}
{{- define "epic-mesos.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "epic-mesos.headless" -}}
{{- include "epic-mesos.fullname" . }}-headless
{{- end -}}

{{- define "epic-mesos.selector" -}}
app.kubernetes.io/name: {{ include "epic-mesos.name" . | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/component: scheduler
{{- end -}}

{{- define "epic-mesos.common" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/name: {{ include "epic-mesos.name" . | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: epic-mesos
{{- end -}}

{{- define "epic-mesos.labels" -}}
{{ include "epic-mesos.common" . }}
app.kubernetes.io/component: scheduler
{{- end -}}

{{- define "epic-mesos.image" -}}
{{- $image := index . 1 -}}
{{- $image.repository -}}
{{- if $image.digest -}}@{{ $image.digest }}{{- else -}}:{{ default (index . 0).Chart.AppVersion $image.tag }}{{- end -}}
{{- end -}}

{{- define "epic-mesos.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "epic-mesos.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "epic-mesos.scheme" -}}
{{- ternary "https" "http" .Values.tls.enabled -}}
{{- end -}}

{{- define "epic-mesos.any" -}}
{{- ternary "[::]" "0.0.0.0" (eq .Values.ipFamily "IPv6") -}}
{{- end -}}

{{- /* The name that certificates need and that pods of other namespaces use, too. */ -}}
{{- define "epic-mesos.host" -}}
{{- include "epic-mesos.fullname" . }}.{{ .Release.Namespace }}.svc
{{- end -}}

{{- /* Names of the Secrets that hold what the values say, or that are there already. */ -}}
{{- define "epic-mesos.tokenSecret" -}}
{{- default (printf "%s-token" (include "epic-mesos.fullname" .)) .Values.token.existingSecret -}}
{{- end -}}

{{- define "epic-mesos.tlsSecret" -}}
{{- default (printf "%s-tls" (include "epic-mesos.fullname" .)) .Values.tls.existingSecret -}}
{{- end -}}

{{- /* Whether there are certificates: with tls.enabled they are shown and trusted, else only trusted. */ -}}
{{- define "epic-mesos.hasTls" -}}
{{- if or .Values.tls.existingSecret .Values.tls.certificate }}yes{{ end -}}
{{- end -}}

{{- define "epic-mesos.credentialsSecret" -}}
{{- include "epic-mesos.fullname" . }}-credentials
{{- end -}}

{{- /* Whether there is such a secret at all: "yes", or nothing. */ -}}
{{- define "epic-mesos.has" -}}
{{- if or .value .existingSecret }}yes{{ end -}}
{{- end -}}

{{- /* One file of a projected volume: (what the values say, the Secret that is made of values, the file). */ -}}
{{- define "epic-mesos.file" -}}
{{- $from := index . 0 }}{{ $made := index . 1 }}{{ $file := index . 2 -}}
- secret:
    name: {{ default $made $from.existingSecret | quote }}
    items:
      - key: {{ ternary $from.key $file (ne (default "" $from.existingSecret) "") | quote }}
        path: {{ $file }}
{{- end -}}

{{- /* What speaks with ZooKeeper is told so, in init and in the replicas. */ -}}
{{- define "epic-mesos.zookeeperEnv" -}}
- name: EPIC_ZK
  value: {{ .Values.zookeeper.url | quote }}
- name: EPIC_ZK_SESSION_TIMEOUT
  value: {{ .Values.zookeeper.sessionTimeout | quote }}
{{- if include "epic-mesos.has" .Values.zookeeper.digest }}
- name: EPIC_ZK_DIGEST_FILE
  value: /etc/epic/credentials/zookeeper-digest
{{- end }}
{{- if include "epic-mesos.has" .Values.zookeeper.sasl }}
- name: EPIC_ZK_SASL_FILE
  value: /etc/epic/credentials/zookeeper-sasl
{{- end }}
{{- with .Values.zookeeper.tls }}
{{- if .enabled }}
- name: EPIC_ZK_CA_FILE
  value: /etc/epic/zookeeper-tls/ca.crt
{{- if .clientCertificate }}
- name: EPIC_ZK_CERT_FILE
  value: /etc/epic/zookeeper-tls/tls.crt
- name: EPIC_ZK_KEY_FILE
  value: /etc/epic/zookeeper-tls/tls.key
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{- /* The files of it: (root, the Secret that is made of values). */ -}}
{{- define "epic-mesos.zookeeperFiles" -}}
{{- $zookeeper := (index . 0).Values.zookeeper }}{{ $made := index . 1 }}
{{- if include "epic-mesos.has" $zookeeper.digest }}
{{ include "epic-mesos.file" (list $zookeeper.digest $made "zookeeper-digest") }}
{{- end }}
{{- if include "epic-mesos.has" $zookeeper.sasl }}
{{ include "epic-mesos.file" (list $zookeeper.sasl $made "zookeeper-sasl") }}
{{- end }}
{{- end -}}

{{- define "epic-mesos.zookeeperTlsVolume" -}}
{{- with .Values.zookeeper.tls -}}
- name: zookeeper-tls
  secret:
    secretName: {{ .existingSecret | quote }}
    defaultMode: 0440
    items:
      - key: ca.crt
        path: ca.crt
      {{- if .clientCertificate }}
      - key: tls.crt
        path: tls.crt
      - key: tls.key
        path: tls.key
      {{- end }}
{{- end }}
{{- end -}}

{{- define "epic-mesos.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: {{ int64 .Values.securityContext.runAsUser }}
runAsGroup: {{ int64 .Values.securityContext.fsGroup }}
fsGroup: {{ int64 .Values.securityContext.fsGroup }}
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "epic-mesos.containerSecurityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{- define "epic-mesos.advertiseAgents" -}}
{{- if eq .Values.agents.advertise "url" -}}
{{- .Values.agents.url -}}
{{- else if eq .Values.agents.advertise "nodePort" -}}
{{- printf "http://%s:%v" (ternary "[$(HOST_IP)]" "$(HOST_IP)" (eq .Values.ipFamily "IPv6")) .Values.agents.nodePort -}}
{{- else -}}
{{- printf "http://%s:%v" (ternary "[$(POD_IP)]" "$(POD_IP)" (eq .Values.ipFamily "IPv6")) .Values.agents.port -}}
{{- end -}}
{{- end -}}
