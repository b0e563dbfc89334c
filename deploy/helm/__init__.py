"""The Helm chart in deploy/k8s/chart, written from the kustomize base: ``python -m deploy.helm``, or ``make chart``."""
