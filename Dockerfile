# Judging alone, without PyTorch:
#   docker build -t masd . && docker run --rm -v "$PWD:/audio:ro" masd detect /audio
FROM python:3.12-slim
COPY setup.cfg pyproject.toml README.md LICENSE /src/
COPY masd /src/masd
RUN pip install --no-cache-dir /src && rm -rf /src && useradd --create-home masd
USER masd
WORKDIR /audio
ENTRYPOINT ["masd"]
CMD ["--help"]
