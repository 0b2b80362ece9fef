"""What is likely: integer networks that map a pixel's causal neighbours to distribution parameters.

Nothing here codes a symbol or knows a file format; `codec` does.
"""
