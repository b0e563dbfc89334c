"""``python -m deploy.helm``: write the chart, and the monitoring component's copies of alerts and dashboard."""

from deploy.helm.chart import files

if __name__ == "__main__":
    for path, text in files().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        print(path)
