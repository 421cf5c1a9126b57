"""Parts of pages that several pages use, or that are an idea of their own."""
