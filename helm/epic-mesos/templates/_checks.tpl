{{- /* What a schema can't say: values that need each other, or contradict. Each text says what to set. */ -}}

{{- define "epic-mesos.checks" -}}
{{- $v := .Values -}}
{{- $full := include "epic-mesos.fullname" . }}
{{- if or (not (regexMatch "^[a-z]([-a-z0-9]*[a-z0-9])?$" $full)) (not (kindIs "string" (printf "name: %s" $full | fromYaml).name)) }}
{{- fail (printf "the objects would be called %s, which is no name for a Service: set fullnameOverride to one of a-z, 0-9 and - that begins with a letter" $full) }}
{{- end }}
{{- if and (not $v.mesos.master) (not $v.mesos.masterSecret.name) }}
{{- fail "mesos.master is needed: host:port of the Mesos masters, or zk://host:port/path; or name a Secret that holds it as mesos.masterSecret.name" }}
{{- end }}
{{- if and $v.mesos.master $v.mesos.masterSecret.name }}
{{- fail (printf "mesos.master and mesos.masterSecret.name (%s) both say where the masters are: give one of them" $v.mesos.masterSecret.name) }}
{{- end }}
{{- if not $v.zookeeper.url }}
{{- fail "zookeeper.url is needed: zk://host:port[,host:port...]/path, where the replicas share their journal" }}
{{- end }}
{{- if and $v.mesos.principal (not (include "epic-mesos.has" $v.mesos.secret)) }}
{{- fail (printf "mesos.principal %s needs its secret: set mesos.secret.existingSecret or mesos.secret.value" $v.mesos.principal) }}
{{- end }}
{{- if and (include "epic-mesos.has" $v.mesos.secret) (not $v.mesos.principal) }}
{{- fail "mesos.secret needs the name that it belongs to: set mesos.principal" }}
{{- end }}
{{- $both := dict "mesos.secret" $v.mesos.secret "mesos.ca" $v.mesos.ca "zookeeper.digest" $v.zookeeper.digest "zookeeper.sasl" $v.zookeeper.sasl "token" $v.token }}
{{- range $name, $secret := $both }}
{{- if and $secret.value $secret.existingSecret }}
{{- fail (printf "%s.value and %s.existingSecret (%s) are both set: give one of them" $name $name $secret.existingSecret) }}
{{- end }}
{{- end }}
{{- if and $v.zookeeper.tls.enabled (not $v.zookeeper.tls.existingSecret) }}
{{- fail "zookeeper.tls.enabled needs the certificates to trust: set zookeeper.tls.existingSecret to a Secret with ca.crt" }}
{{- end }}
{{- $own := or $v.tls.certificate $v.tls.privateKey $v.tls.ca }}
{{- if and $v.tls.enabled (not $own) (not $v.tls.existingSecret) }}
{{- fail "tls.enabled needs a certificate: set tls.existingSecret to a Secret with tls.crt, tls.key and ca.crt, or tls.certificate, tls.privateKey and tls.ca" }}
{{- end }}
{{- if and $own $v.tls.existingSecret }}
{{- fail (printf "tls.existingSecret (%s) and tls.certificate, tls.privateKey or tls.ca are both set: give one of them" $v.tls.existingSecret) }}
{{- end }}
{{- if and $own (not (and $v.tls.certificate $v.tls.privateKey $v.tls.ca)) }}
{{- fail "tls.certificate, tls.privateKey and tls.ca go together: set all three" }}
{{- end }}
{{- if eq (int $v.agents.port) 8080 }}
{{- fail "agents.port 8080 is the port of the interface: take another one, such as 8081" }}
{{- end }}
{{- if and (eq $v.agents.advertise "url") (not $v.agents.url) }}
{{- fail "agents.advertise url needs agents.url: http://HOST:PORT at which agents reach a replica, such as http://$(POD_NAME).example.com:8081" }}
{{- end }}
{{- if and $v.agents.url (ne $v.agents.advertise "url") }}
{{- fail (printf "agents.url is set, but agents.advertise is %s: set it to url" $v.agents.advertise) }}
{{- end }}
{{- if and $v.service.nodePort (eq $v.service.type "ClusterIP") }}
{{- fail (printf "service.nodePort %v needs service.type NodePort or LoadBalancer; it is ClusterIP" $v.service.nodePort) }}
{{- end }}
{{- if and (eq $v.agents.advertise "nodePort") (eq (int $v.service.nodePort) (int $v.agents.nodePort)) }}
{{- fail (printf "service.nodePort and agents.nodePort are both %v: each Service needs a port of its own on the nodes" $v.agents.nodePort) }}
{{- end }}
{{- if and $v.bundle.file (not $v.bundle.existingClaim) }}
{{- fail (printf "bundle.file %s needs the volume that it is on: set bundle.existingClaim" $v.bundle.file) }}
{{- end }}
{{- if and $v.platform (not $v.bundle.existingClaim) }}
{{- fail "platform needs its bundle at each replica: set bundle.existingClaim; without such a volume, push the bundle and use epicctl platform apply" }}
{{- end }}
{{- $labels := dict "podLabels" $v.podLabels "metrics.serviceMonitor.labels" $v.metrics.serviceMonitor.labels "metrics.prometheusRule.labels" $v.metrics.prometheusRule.labels }}
{{- range $name, $map := $labels }}
{{- range $label, $_ := $map }}
{{- if or (hasPrefix "app.kubernetes.io/" $label) (hasPrefix "helm.sh/" $label) }}
{{- fail (printf "%s sets %s, which is the chart's own: take another label" $name $label) }}
{{- end }}
{{- end }}
{{- end }}
{{- range $v.extraArgs }}
{{- $option := regexFind "^--[a-z0-9-]+" . }}
{{- if has (printf "EPIC_%s" (trimPrefix "--" $option | upper | replace "-" "_")) (include "epic-mesos.ownEnv" $ | fromYamlArray) }}
{{- fail (printf "extraArgs sets %s, which the chart sets itself: use the value that stands for it" $option) }}
{{- end }}
{{- end }}
{{- range $v.extraEnv }}
{{- if has .name (include "epic-mesos.ownEnv" $ | fromYamlArray) }}
{{- fail (printf "extraEnv sets %s, which the chart sets itself: use the value that stands for it" .name) }}
{{- end }}
{{- /* By value, whoever sees the pods sees it; and the Job that makes the journal would know nothing of a digest. */ -}}
{{- if has .name (list "EPIC_TOKEN" "EPIC_SECRET" "EPIC_ZK_DIGEST") }}
{{- fail (printf "extraEnv gives %s, which the chart gives as a file: name its Secret by token, mesos.secret or zookeeper.digest" .name) }}
{{- end }}
{{- end }}
{{- if and $v.networkPolicy.enabled $v.networkPolicy.egress.enabled }}
{{- range $name := list "zookeeper" "masters" }}
{{- if not (index $v.networkPolicy.egress $name) }}
{{- fail (printf "networkPolicy.egress.%s is empty, so that the replicas couldn't reach them: list their networks, such as 10.0.0.0/24" $name) }}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{- /* Every variable that the chart may set. */ -}}
{{- define "epic-mesos.ownEnv" -}}
- POD_NAME
- POD_IP
- HOST_IP
- EPIC_MASTER
- EPIC_ZK
- EPIC_ZK_SESSION_TIMEOUT
- EPIC_ZK_DIGEST_FILE
- EPIC_ZK_SASL_FILE
- EPIC_ZK_CA_FILE
- EPIC_ZK_CERT_FILE
- EPIC_ZK_KEY_FILE
- EPIC_ROLE
- EPIC_FRAMEWORK_NAME
- EPIC_PRINCIPAL
- EPIC_SECRET_FILE
- EPIC_CA_FILE
- EPIC_UNREACHABLE_AFTER
- EPIC_TOKEN_FILE
- EPIC_STATE_DIR
- EPIC_LISTEN
- EPIC_ADVERTISE
- EPIC_LISTEN_AGENTS
- EPIC_ADVERTISE_AGENTS
- EPIC_TLS_CERT_FILE
- EPIC_TLS_KEY_FILE
- EPIC_TLS_CA_FILE
- EPIC_PLATFORM
- EPIC_BIN
- EPIC_LOG_FORMAT
- EPIC_LOG
{{- end -}}
