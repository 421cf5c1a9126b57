"""Tables, sessions and migrations. Knows neither torch, nor streamlit, nor the engine."""
