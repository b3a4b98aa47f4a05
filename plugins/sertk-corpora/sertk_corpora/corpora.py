"""Define the corpora: what their file names mean, and where they come from."""

from __future__ import annotations

from .reader import CorpusReader

EMODB = CorpusReader(
    name="emodb",
    example="03a01Fa.wav",
    pattern=r"(?P<speaker>\d{2})(?P<text>[ab]\d{2})(?P<emotion>[A-Z])(?P<version>[a-z])",
    emotions=(
        ("W", "anger"),
        ("L", "boredom"),
        ("E", "disgust"),
        ("A", "fear"),
        ("F", "happiness"),
        ("T", "sadness"),
        ("N", "neutral"),
    ),
    n_files=535,
    language="de",
    licence="CC0-1.0",
    citation="Burkhardt et al., A database of German emotional speech, Interspeech 2005",
    homepage="http://emodb.bilderbar.info",
    ignored=("silb", "labsilb", "lablaut"),
)

TESS = CorpusReader(
    name="tess",
    example="OAF_back_angry.wav",
    # OA_bite_neutral is a slip in the published corpus: the speaker is OAF.
    pattern=r"(?P<speaker>OAF?|YAF)_(?P<text>[a-z]+)_(?P<emotion>[a-z]+)",
    speakers=(("OA", "OAF"),),
    emotions=(
        ("angry", "anger"),
        ("disgust", "disgust"),
        ("fear", "fear"),
        ("happy", "happiness"),
        ("neutral", "neutral"),
        ("ps", "surprise"),
        ("sad", "sadness"),
    ),
    n_files=2800,
    language="en",
    licence="CC BY-NC-ND 4.0",
    citation="Pichora-Fuller and Dupuis, Toronto emotional speech set (TESS), 2020",
    homepage="https://doi.org/10.5683/SP2/E8H2MF",
)

SAVEE = CorpusReader(
    name="savee",
    example="DC/a01.wav or DC_a01.wav",
    pattern=r"(?P<speaker>DC|JE|JK|KL)[/_](?P<text>(?P<emotion>[a-z]{1,2})\d{2})",
    emotions=(
        ("a", "anger"),
        ("d", "disgust"),
        ("f", "fear"),
        ("h", "happiness"),
        ("n", "neutral"),
        ("sa", "sadness"),
        ("su", "surprise"),
    ),
    n_files=480,
    language="en",
    licence="free for research, on registration",
    citation="Haq and Jackson, Speaker-dependent audio-visual emotion recognition, AVSP 2009",
    homepage="http://kahlan.eps.surrey.ac.uk/savee/",
)

RAVDESS = CorpusReader(
    name="ravdess",
    example="03-01-05-01-02-01-12.wav",
    # Modality (03 audio only) and channel (01 speech), then emotion, intensity, statement,
    # repetition, actor. The actor in the name is the truth, whatever folder the file lies in.
    pattern=r"03-01-(?P<emotion>\d{2})-(\d{2})-(?P<text>\d{2})-(\d{2})-(?P<speaker>\d{2})",
    emotions=(
        ("01", "neutral"),
        ("02", "calm"),
        ("03", "happiness"),
        ("04", "sadness"),
        ("05", "anger"),
        ("06", "fear"),
        ("07", "disgust"),
        ("08", "surprise"),
    ),
    n_files=1440,
    language="en",
    licence="CC BY-NC-SA 4.0",
    citation="Livingstone and Russo, The Ryerson Audio-Visual Database of Emotional Speech and "
    "Song (RAVDESS), PLoS ONE 13(5), e0196391, 2018",
    homepage="https://doi.org/10.5281/zenodo.1188976",
)

CREMAD = CorpusReader(
    name="cremad",
    example="1001_DFA_ANG_XX.wav",
    # The level has two letters, but for 1040_ITH_SAD_X.
    pattern=r"(?P<speaker>\d{4})_(?P<text>[A-Z]{3})_(?P<emotion>[A-Z]{3})_([A-Z]{1,2})",
    emotions=(
        ("ANG", "anger"),
        ("DIS", "disgust"),
        ("FEA", "fear"),
        ("HAP", "happiness"),
        ("NEU", "neutral"),
        ("SAD", "sadness"),
    ),
    n_files=7442,
    language="en",
    licence="ODbL 1.0",
    citation="Cao et al., CREMA-D: Crowd-sourced emotional multimodal actors dataset, "
    "IEEE Trans. Affective Computing 5(4), 377-390, 2014",
    homepage="https://github.com/CheyneyComputerScience/CREMA-D",
)

CORPORA = (EMODB, TESS, SAVEE, RAVDESS, CREMAD)
