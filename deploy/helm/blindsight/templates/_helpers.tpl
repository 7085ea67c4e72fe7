{{- define "blindsight.name" -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 50 | trimSuffix "-" -}}
{{- end -}}

{{- define "blindsight.labels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{/* Labels by which the pods of one unit are selected: a list of the root context and the unit. */}}
{{- define "blindsight.selector" -}}
app.kubernetes.io/name: {{ (index . 0).Chart.Name }}
app.kubernetes.io/instance: {{ (index . 0).Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{- define "blindsight.policyMap" -}}
{{- .Values.policy.configMap | default (printf "%s-policy" (include "blindsight.name" .)) -}}
{{- end -}}

{{- define "blindsight.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "blindsight.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{/* Copies secrets to memory with mode 0600: volumes of Kubernetes give a group the right to read, which the units refuse. */}}
{{- define "blindsight.copySecrets" -}}
- name: secrets
  image: {{ .image | quote }}
  command: ["/bin/sh", "-c", "install -m 0600 /mounted/*/* /secrets/"]
  securityContext: {{- include "blindsight.containerSecurity" . | nindent 4 }}
  resources:
    requests: {cpu: 10m, memory: 32Mi}
    limits: {memory: 64Mi}
  volumeMounts:
    {{- range .volumes }}
    - {name: {{ . }}, mountPath: /mounted/{{ . }}, readOnly: true}
    {{- end }}
    - {name: secrets, mountPath: /secrets}
{{- end -}}

{{/* What only a person can know has to be given. */}}
{{- define "blindsight.check" -}}
{{- $enclave := .Values.enclave -}}
{{- if not (has $enclave.variant (list "nitro" "confidential" "simulated")) }}
{{- fail "set enclave.variant to nitro, confidential or simulated" }}
{{- end }}
{{- range $what, $value := dict "gateway.image" .Values.gateway.image "enclave.image" $enclave.image "gateway.tokensSecret" .Values.gateway.tokensSecret }}
{{- if not $value }}{{ fail (printf "set %s" $what) }}{{ end }}
{{- end }}
{{- if and (not .Values.accessSecret) (ne $enclave.variant "nitro") }}
{{- fail "set accessSecret: the Secret whose key `secret` has the 64 hexadecimal digits that gateways show to enclaves" }}
{{- end }}
{{- if not (or .Values.policy.configMap .Values.policy.content) }}
{{- fail "set policy.configMap, or policy.content with --set-file: without a policy no enclave is accepted" }}
{{- end }}
{{- if and .Values.policy.configMap .Values.policy.content }}
{{- fail "set one of policy.configMap and policy.content" }}
{{- end }}
{{- if and (ne $enclave.variant "nitro") (not $enclave.bundle.image) }}
{{- fail "set enclave.bundle.image: an image that contains the function bundle" }}
{{- end }}
{{- if and (ne $enclave.variant "nitro") (not $enclave.simulatedRootSecret) }}
{{- fail "set enclave.simulatedRootSecret: one simulated root for all enclaves, which the policy names" }}
{{- end }}
{{- if and (eq $enclave.variant "nitro") $enclave.accountRootSecret }}
{{- fail "unset enclave.accountRootSecret: an enclave of the variant nitro cannot read a Secret; its root secret comes from AWS KMS" }}
{{- end }}
{{- if and (eq $enclave.variant "confidential") (not $enclave.runtimeClassName) }}
{{- fail "set enclave.runtimeClassName, such as kata-qemu-snp" }}
{{- end }}
{{- end -}}
