"""CHAT texts for tests."""

HEAD = (
    "@UTF8\n@Begin\n@Languages:\teng\n@Participants:\tCHI Target_Child, MOT Mother\n"
    "@ID:\teng|asrlsa|CHI|||||Target_Child|||\n@ID:\teng|asrlsa|MOT|||||Mother|||\n"
)
UNLINKED = "@Media:\tx, audio, unlinked\n"
LINKED = "@Media:\tx, audio\n"
END = "@End\n"


def bullet(begin: int, end: int) -> str:
    return f"\x15{begin}_{end}\x15"


def unlinked(*lines: str) -> str:
    """A file without times; every line is a whole line of the file."""
    return HEAD + UNLINKED + "".join(f"{line}\n" for line in lines) + END


def linked(*lines: str) -> str:
    return HEAD + LINKED + "".join(f"{line}\n" for line in lines) + END


MESSY = {
    "folded": "@UTF8\n@Begin\n@Languages:\teng\n@Participants:\tCHI Target_Child,\n\tMOT Mother\n"
    "*CHI:\tthe dog\n\tran home\n\tand slept .\n%com:\tlong\n\tcomment\n@End\n",
    "tiers": unlinked(
        "@Bg",
        "*CHI:\tI ran .",
        "%mor:\tpro:sub|I v|run&PAST .",
        "%gra:\t1|2|SUBJ 2|0|ROOT 3|2|PUNCT",
        "%xcon:\tI 0.5 |  two  spaces ; [ < 5",
        "%com:\tfirst",
        "%com:\tsecond",
        "@Eg",
        "@New Episode",
        "*MOT:\tyes .",
    ),
    "bullets": linked(
        f"*CHI:\tI {bullet(0, 10)} ran . {bullet(10, 30)}",
        f"%wor:\tI {bullet(0, 10)} ran {bullet(10, 30)} .",
        f"*MOT:\tyes . [+ R] {bullet(40, 60)}",
        f"*CHI:\tno {bullet(60, 70)} more .",
    ),
    "legacy": unlinked(
        "*CHI:\t&um dog [x 3] # xx rhi(.)noceros ^dog [/?] cat .",
        '*CHI:\t+" “hello” said he [=! sings] +"/.',
        "*CHI:\t0 [=! cries] .",
        "*CHI:\t<the ⌈ dog ⌉> [>1] °soft° [?] ↑up↓ ≈ .",
        "*CHI:\t[- spa] hola , qué tal‡ ?",
    ),
    "broken": unlinked(
        "*CHI:\t<the dog [/ the ] dog> [laughs] (( 3.5 10,000 … — ' & &- \u200b 😀 [",
        "*CHI:\t",
        "*CHI:\t.",
        "*CHI:\t]]>><< [x 99999999999] [x 0] &=",
    ),
    "undeclared": "@Begin\n*FAT:\thi .\n",
}
