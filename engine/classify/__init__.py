"""Classification of single images: the top-5 of one or more builds."""
