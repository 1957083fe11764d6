#!/usr/bin/env bash
# `make demo`: from nothing to a guest that ticks on its serial console, each stage with the seconds it took.
set -euo pipefail
cd "$(dirname "$0")/../.."

stage() { # title command...
  local began=$SECONDS title=$1; shift
  printf '\n== %s\n' "$title"
  "$@"
  printf '== %s: %d s\n' "$title" $((SECONDS - began))
}
vmi_running() {
  TAG=$(cat build/tag)
  sed "s#\${REGISTRY}#$REGISTRY#; s#\${TAG}#$TAG#" tests/e2e/demo-vmi.yaml | kubectl apply -f -
  kubectl wait vmi demo --for jsonpath='{.status.phase}'=Running --timeout 120s
  kubectl get vmi demo
}

stage 'a development environment' make -s venv
stage 'a real Kubernetes' make -s cluster-up
stage 'images' make -s images
stage 'the suite, to Available' make -s install
stage 'a VirtualMachineInstance, to Running' vmi_running
stage 'its serial console' python -m localcluster console default demo --for-seconds 60 --until 'tick 5'
printf '\nIt runs on. Next:\n  export KUBECONFIG=%s\n  kubectl get vmi\n  %s -m localcluster console default demo\n  make cluster-down\n' \
  "$KUBECONFIG" "$PWD/.venv/bin/python"
