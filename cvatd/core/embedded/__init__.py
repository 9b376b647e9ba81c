"""An own PostgreSQL and Redis for one machine: no root needed, no system service, nothing outside the data folder."""
