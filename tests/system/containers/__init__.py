"""docker-compose.yml and the Dockerfile, run without a container engine: namespaces and folders as roots."""
