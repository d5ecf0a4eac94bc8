"""Operations: logs, later metrics and traces."""
