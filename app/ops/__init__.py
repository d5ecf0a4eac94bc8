"""Operations: logs, metrics and traces."""
