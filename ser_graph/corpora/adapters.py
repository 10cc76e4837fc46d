"""The corpora that the library knows by name: the codes in the names of their clips, where they are, what to cite.

The tables of `data/README.md` come from here: run ``python docs/corpora.py`` after a change.
"""

from pathlib import Path

import pandas as pd

from ser_graph.corpora import label_files
from ser_graph.corpora.adapter import Adapter, Record
from ser_graph.corpora.splits import assign_split, speaker_split
from ser_graph.corpora.vocabulary import SPLITS, emotion_name

GENDERS = {"f": "female", "m": "male"}


def _codes(listed: str) -> dict[str, str]:
    """Code -> word, from ``"W anger, L boredom"``."""
    return {code: word for code, word in map(str.split, listed.split(","))}


def _words(listed: str) -> dict[str, str]:
    """Code -> emotion for codes that are words, from ``"happy sad"``."""
    return {word: emotion_name(word) for word in listed.split()}


def _speakers(listed: str) -> dict[str, Record]:
    """Speaker -> gender and age, from ``"03 male 31, 08 female 34"``."""
    people = (entry.split() for entry in listed.split(","))
    return {speaker: {"gender": gender, "age": int(age)} for speaker, gender, age in people}


_ITALIAN = _codes("dis disgust, gio happiness, neu neutral, pau fear, rab anger, sor surprise, tri sadness")
_FRENCH = _codes("C anger, D disgust, J happiness, N neutral, P fear, S surprise, T sadness")
_FOUR = _codes("A anger, H happiness, N neutral, S sadness")
_RAVDESS_ACTORS = {f"{actor:02d}": {"gender": "male" if actor % 2 else "female"} for actor in range(1, 25)}
_DEMOS_SPEAKERS = Path(__file__).with_name("demos_split.csv")


def ravdess_split(table: pd.DataFrame) -> pd.DataFrame:
    """The split of the paper: 10, 8 and 6 actors, half of them women; 600, 480 and 360 clips.

    Among the actors with odd and with even numbers, a quarter is drawn for test and 43 % of the rest for dev.

    Examples:
        >>> table = pd.DataFrame({"speaker": [f"{actor:02d}" for actor in range(1, 25)]})
        >>> ravdess_split(table).groupby("split")["speaker"].agg(" ".join).to_dict()
        {'dev': '03 04 05 06 13 14 15 16', 'test': '01 02 07 08 17 18',
         'train': '09 10 11 12 19 20 21 22 23 24'}
    """
    from sklearn.model_selection import train_test_split  # slow to import, rarely needed

    names = {}
    for first in (1, 2):
        actors = [f"{actor:02d}" for actor in range(first, 25, 2)]
        rest, test = train_test_split(actors, test_size=0.25, random_state=12345)
        train, dev = train_test_split(rest, test_size=0.43, random_state=12345)
        for split, speakers in zip(SPLITS, (train, dev, test), strict=True):
            names.update(dict.fromkeys(speakers, split))
    return assign_split(table, names)


def demos_split(table: pd.DataFrame) -> pd.DataFrame:
    """The split of DEMoS in this package, with every count of Table 2 of the paper.

    The numbers of women and men are those of the paper, but not necessarily the speakers: the paper's lists are
    unpublished, and many lists have the same counts. A search found this list: it swaps two speakers of one gender
    as long as the class counts come nearer to Table 2. In that table, the column F/M is in the order of the Italian
    codes, but the rows are in the order of the English names.

    Examples:
        >>> demos_split(pd.DataFrame({"speaker": ["01", "02", "03"]}))["split"].tolist()
        ['train', 'train', 'test']
    """
    rows = pd.read_csv(_DEMOS_SPEAKERS, dtype=str)
    return assign_split(table, dict(zip(rows["speaker"], rows["split"], strict=True)))


def _one_woman_each(table: pd.DataFrame) -> pd.DataFrame:
    """One woman is in train, the other in test."""
    return speaker_split(table, (0.5, 0, 0.5))


_ALL = (
    # Modality 03 is sound only. Channel 01 is speech,
    # 02 is song. The two sentences: 01 "Kids are talking by the door", 02 "Dogs are sitting by the door".
    # Livingstone and Russo, "The Ryerson Audio-Visual Database of Emotional Speech and Song (RAVDESS)",
    # PLoS ONE 13(5), 2018.
    Adapter(
        name="ravdess",
        title="RAVDESS",
        pattern="Actor_NN/03-01-EE-II-SS-RR-AA.wav",
        names=r"03-01-<emotion>-<intensity>-(?P<sentence>0[12])-(?P<repetition>0[12])-(?P<speaker>\d\d)",
        codes={
            "emotion": _codes(
                "01 neutral, 02 calm, 03 happiness, 04 sadness, 05 anger, 06 fear, 07 disgust, 08 surprise"
            ),
            "intensity": {"01": "normal", "02": "strong"},
        },
        speakers=_RAVDESS_ACTORS,
        skipped={r"0[123]-02(-\d\d){5}": "song", r"0[123]-01(-\d\d){5}": "video"},
        n_clips=(1440,),
        language="en",
        split=ravdess_split,
        kind="acted",
        n_speakers="24",
        source="https://zenodo.org/records/1188976",
        terms="CC BY-NC-SA 4.0",
        usual_split="the paper's: 10, 8 and 6 actors",
    ),
    # The Database of Elicited Mood in Speech, 23 women and 45 men. NP and PR say whether listeners agreed on the
    # emotion; neutral clips have no such prefix and are left out as in the paper. A number and a letter name sample
    # and take.
    # Parada-Cabaleiro, Costantini, Batliner, Schmitt and Schuller, "DEMoS: an Italian emotional speech corpus",
    # Language Resources and Evaluation 54, 2020.
    Adapter(
        name="demos",
        title="DEMoS",
        pattern="DEMOS/{NP|PR}_{f|m}_SS_{emo}NN{a|b|c}.wav",
        names=r"(?:<typicality>_)?<gender>_(?P<speaker>\d\d)_<emotion>(?P<sample>\d+)(?P<take>[a-z]?)",
        codes={
            "emotion": {"col": "guilt", **_ITALIAN},
            "gender": GENDERS,
            "typicality": {"NP": "non-prototypical", "PR": "prototypical"},
        },
        n_clips=(9365, 9697),
        language="it",
        left_out=("neutral",),
        split=demos_split,
        kind="elicited",
        n_speakers="68",
        source="its authors, on request",
        terms="for research",
        usual_split="a list in this package, with the counts of the paper's Table 2; without neutral",
    ),
    # Sentences: b1-b3 short, l1-l4 long, n1-n5 nonsense, d1-d2 questions. The usual protocol is
    # `leave_speakers_out`. Because this is not a single split, the default is the speaker-independent split.
    # Costantini, Iaderola, Paoloni and Todisco, "EMOVO Corpus: an Italian Emotional Speech Database", LREC 2014.
    Adapter(
        name="emovo",
        title="EMOVO",
        pattern="{f1,f2,f3,m1,m2,m3}/{emo}-{speaker}-{sentence}.wav",
        names=r"<emotion>-(?P<speaker><gender>[123])-(?P<sentence>[a-z]\d)",
        codes={"emotion": _ITALIAN, "gender": GENDERS},
        n_clips=(588,),
        language="it",
        kind="acted",
        n_speakers="6",
        source="http://voice.fub.it/activities/corpora/emovo/",
        terms="non-commercial, with acknowledgment; see its page",
        usual_split="by speaker; the usual protocol is `sg.leave_speakers_out`",
    ),
    # Sentences 1 to 90. Christop, "nEMO: Dataset of Emotional Speech in Polish", LREC-COLING 2024.
    Adapter(
        name="nemo",
        title="nEMO",
        pattern="samples/{speaker}_{emotion}_{sentence}.wav, and data.tsv",
        names=r"(?P<speaker>[A-Z]{2}0)_<emotion>_(?P<sentence>\d+)",
        codes={"emotion": _words("anger fear happiness neutral sadness surprised")},
        speakers=_speakers(
            "EB0 female 27, IC0 female 28, KD0 female 28, KS0 male 23, MK0 female 23, "
            "MP0 male 24, SM0 male 24, TP0 male 26, WR0 male 23"
        ),
        n_clips=(4481,),
        language="pl",
        enrich=label_files.add_nemo_texts,
        kind="acted",
        n_speakers="9",
        source="https://github.com/amu-cai/nEMO",
        terms="CC BY-NC-SA 4.0",
    ),
    # The Berlin Database of Emotional Speech; version 2.0 has 816 clips. Emotions by their German initials.
    # Burkhardt, Paeschke, Rolfes, Sendlmeier and Weiss, "A Database of German Emotional Speech", Interspeech 2005.
    Adapter(
        name="emodb",
        title="EmoDB",
        pattern="wav/SSTTTEv.wav",
        names=r"(?P<speaker>\d\d)(?P<sentence>[a-z]\d\d)<emotion>(?P<repetition>[a-z]?)",
        codes={"emotion": _codes("W anger, L boredom, E disgust, A fear, F happiness, T sadness, N neutral")},
        speakers=_speakers(
            "03 male 31, 08 female 34, 09 female 21, 10 male 32, 11 male 26, 12 male 30, "
            "13 female 32, 14 female 35, 15 male 25, 16 female 31"
        ),
        n_clips=(535, 816),
        language="de",
        kind="acted",
        n_speakers="10",
        source="http://emodb.bilderbar.info/docu/",
        terms="see its page",
    ),
    # The Crowd-sourced Emotional Multimodal Actors Dataset. Actors 1001 to 1091; three letters name one of 12
    # sentences; one name has a single X as its intensity. Only ``VideoDemographics.csv`` contains gender and age.
    # Cao, Cooper, Keutmann, Gur, Nenkova and Verma, "CREMA-D: Crowd-sourced Emotional Multimodal Actors Dataset",
    # IEEE Transactions on Affective Computing 5(4), 2014.
    Adapter(
        name="crema_d",
        title="CREMA-D",
        pattern="AudioWAV/{actor}_{sentence}_{emotion}_{intensity}.wav, and VideoDemographics.csv",
        names=r"(?P<speaker>10\d\d)_(?P<sentence>[A-Z]{3})_<emotion>_<intensity>",
        codes={
            "emotion": _codes("ANG anger, DIS disgust, FEA fear, HAP happiness, NEU neutral, SAD sadness"),
            "intensity": {"LO": "low", "MD": "medium", "HI": "high", "XX": "unspecified", "X": "unspecified"},
        },
        n_clips=(7442,),
        language="en",
        enrich=label_files.add_crema_d_actors,
        kind="acted",
        n_speakers="91",
        source="https://github.com/CheyneyComputerScience/CREMA-D",
        terms="Open Database License; see its page",
    ),
    # The Surrey Audio-Visual Expressed Emotion database, four men. In the first release, only the folder names the
    # speaker. Sentences 01 to 15, for neutral 01 to 30.
    # Haq and Jackson, "Multimodal Emotion Recognition", in Machine Audition, IGI Global 2010.
    Adapter(
        name="savee",
        title="SAVEE",
        pattern="{DC,JE,JK,KL}_{emo}NN.wav",
        names=r"(?P<speaker>DC|JE|JK|KL)[_/]<emotion>(?P<sentence>\d\d)",
        codes={"emotion": _codes("sa sadness, su surprise, a anger, d disgust, f fear, h happiness, n neutral")},
        speakers={speaker: {"gender": "male"} for speaker in ("DC", "JE", "JK", "KL")},
        n_clips=(480,),
        language="en",
        kind="acted",
        n_speakers="4 men",
        source="http://kahlan.eps.surrey.ac.uk/savee/",
        terms="for research, on registration",
    ),
    # The Toronto Emotional Speech Set, an older and a younger woman. ps is a pleasant surprise. The word is the
    # last word of "Say the word ...". One name in the archive has ``OA`` instead of ``OAF``.
    # Pichora-Fuller and Dupuis, "Toronto emotional speech set (TESS)", Borealis, 2020.
    Adapter(
        name="tess",
        title="TESS",
        pattern="{OAF|YAF}_{word}_{emotion}.wav",
        names=r"<speaker>_(?P<sentence>[a-z]+)_<emotion>",
        codes={
            "emotion": _words("angry disgust fear happy neutral ps sad"),
            "speaker": {"oa": "OAF", "oaf": "OAF", "yaf": "YAF"},
        },
        any_case=True,
        speakers=_speakers("OAF female 64, YAF female 26"),
        n_clips=(2800,),
        language="en",
        split=_one_woman_each,
        kind="acted",
        n_speakers="2 women",
        source="https://doi.org/10.5683/SP2/E8H2MF",
        terms="CC BY-NC-ND 4.0",
        usual_split="one woman in train, the other in test; no dev",
    ),
    # Talk shows, not acted. Fn is the number of the speaker's file; the last number is that of the clip. Many of
    # the 29 speakers have clips of a single emotion.
    # Latif, Qayyum, Usman and Qadir, "Cross Lingual Speech Emotion Recognition: Urdu vs. Western
    # Languages", FIT 2018.
    Adapter(
        name="urdu",
        title="URDU",
        pattern="{Angry,Happy,Neutral,Sad}/S{M|F}{id}_F{n}_{A|H|N|S}{nnn}.wav",
        names=r"(?P<speaker>S<gender>\d+)_F(?P<source>\d+)_<emotion>(?P<take>\d+)",
        codes={"emotion": _FOUR, "gender": {"F": "female", "M": "male"}},
        n_clips=(400,),
        language="ur",
        kind="from talk shows",
        n_speakers="29",
        source="https://github.com/siddiquelatif/URDU-Dataset",
        terms="see its page",
    ),
    # The songs of the RAVDESS actors; actor 18 does not sing. The codes are those of the speech.
    # Livingstone and Russo, as for RAVDESS.
    Adapter(
        name="ravdess_song",
        title="RAVDESS song",
        pattern="Actor_NN/03-02-EE-II-SS-RR-AA.wav",
        names=r"03-02-<emotion>-<intensity>-(?P<sentence>0[12])-(?P<repetition>0[12])-(?P<speaker>\d\d)",
        codes={
            "emotion": _codes("01 neutral, 02 calm, 03 happiness, 04 sadness, 05 anger, 06 fear"),
            "intensity": {"01": "normal", "02": "strong"},
        },
        speakers=_RAVDESS_ACTORS,
        skipped={r"0[123]-01(-\d\d){5}": "speech", r"0[123]-02(-\d\d){5}": "video"},
        n_clips=(1012,),
        language="en",
        kind="acted, sung",
        n_speakers="23",
        source="https://zenodo.org/records/1188976",
        terms="CC BY-NC-SA 4.0",
    ),
    # Five sessions of a woman and a man. The letter before the last number names the speaker of the turn; the first
    # letter names the actor with the motion capture. xxx (no agreement of the listeners) and oth are clips without
    # a label. For the usual four classes, load with ``labels={"excitement": "happiness"}``.
    # Busso et al., "IEMOCAP: Interactive emotional dyadic motion capture database", Language Resources and
    # Evaluation 42, 2008.
    Adapter(
        name="iemocap",
        title="IEMOCAP",
        pattern="Session{1..5}/sentences/wav/{dialogue}/{dialogue}_{F|M}NNN.wav, "
        "and Session{1..5}/dialog/EmoEvaluation/{dialogue}.txt",
        names=r"(?P<dialogue>Ses(?P<session>0[1-5])[FM]_\w+)_<gender>(?P<turn>[X\d]{2}\d)",
        codes={
            "emotion": _codes(
                "ang anger, hap happiness, sad sadness, neu neutral, exc excitement, fru frustration, fea fear, "
                "sur surprise, dis disgust"
            ),
            "gender": {"F": "female", "M": "male"},
        },
        skipped={r"Ses0[1-5][FM]_\w+": "whole dialogue"},
        depth=4,
        n_clips=(10039,),
        language="en",
        kind="acted dialogues",
        n_speakers="10",
        source="https://sail.usc.edu/iemocap/",
        terms="for research, on request",
        left_out=("excitement", "frustration"),
        enrich=label_files.add_iemocap_labels,
    ),
    # Clips of a TV series as video: store the sound of ``diaN_uttN.mp4`` as ``diaN_uttN.wav`` in the same folder.
    # The numbers begin again in each split. The main speakers are in all three splits.
    # Poria et al., "MELD: A Multimodal Multi-Party Dataset for Emotion Recognition in Conversations", ACL 2019.
    Adapter(
        name="meld",
        title="MELD",
        pattern="{train_splits,dev_splits_complete,output_repeated_splits_test}/dia{N}_utt{N}.wav, "
        "and {train,dev,test}_sent_emo.csv",
        names=r"<split>/dia(?P<dialogue>\d+)_utt(?P<utterance>\d+)",
        codes={
            "emotion": _words("anger disgust fear joy neutral sadness surprise"),
            "split": _codes("train_splits train, dev_splits_complete dev, output_repeated_splits_test test"),
        },
        skipped={r"final_videos_test\w+": "unlabelled part"},
        n_clips=(13706, 13708),
        language="en",
        kind="from a TV series",
        n_speakers="304",
        source="https://github.com/declare-lab/MELD",
        terms="GPL-3.0; see its page",
        enrich=label_files.add_meld_labels,
        usual_split="the authors'; speakers are in several splits",
    ),
    # Podcasts, rated by listeners; arousal, valence and dominance from 1 to 7. X (no agreement) and O (other) are
    # clips without a label. Test1 is test; Test2 and Test3 have no split, because few publications use them. The
    # number of clips grows with each release.
    # Lotfian and Busso, "Building Naturalistic Emotionally Balanced Speech Corpus by Retrieving Emotional Speech
    # From Existing Podcast Recordings", IEEE Transactions on Affective Computing 10(4), 2019.
    Adapter(
        name="msp_podcast",
        title="MSP-Podcast",
        pattern="Audios/MSP-PODCAST_{podcast}_{turn}.wav, and Labels/labels_consensus.csv",
        names=r"MSP-PODCAST_(?P<podcast>\d+)_(?P<turn>\w+)",
        codes={
            "emotion": _codes(
                "A anger, H happiness, S sadness, N neutral, U surprise, F fear, D disgust, C contempt"
            ),
            "gender": {"Female": "female", "Male": "male"},
            "split": {"Train": "train", "Validation": "dev", "Development": "dev", "Test1": "test"},
        },
        language="en",
        kind="from podcasts",
        n_speakers="depends on the release",
        source="https://ecs.utdallas.edu/research/researchlabs/msp-lab/MSP-Podcast.html",
        terms="for research, on request",
        left_out=("contempt",),
        enrich=label_files.add_msp_podcast_labels,
        usual_split="the authors'; Test1 is test",
    ),
    # Six pairs of actors. The name has the intended emotion, the table that of the listeners: the latter is the
    # label. X and O are clips without a label. The release spells the name of the table ``Evalution.txt``.
    # Busso et al., "MSP-IMPROV: An Acted Corpus of Dyadic Interactions to Study Emotion Perception", IEEE
    # Transactions on Affective Computing 8(1), 2017.
    Adapter(
        name="msp_improv",
        title="MSP-IMPROV",
        pattern="session{1..6}/S{nn}{e}/{recording}/MSP-IMPROV-S{nn}{e}-{F|M}{nn}-{recording}-{turn}.wav, "
        "and Evaluation.txt",
        names=r"MSP-IMPROV-S(?P<sentence>\d\d)<intended>-(?P<speaker><gender>\d\d)-(?P<recording>[A-Z])-(?P<turn>\w+)",
        codes={"emotion": _FOUR, "intended": _FOUR, "gender": {"F": "female", "M": "male"}},
        depth=4,
        n_clips=(8438,),
        language="en",
        kind="acted dialogues",
        n_speakers="12",
        source="https://ecs.utdallas.edu/research/researchlabs/msp-lab/MSP-Improv.html",
        terms="for research, on request",
        enrich=label_files.add_msp_improv_labels,
    ),
    # Opinions in videos. Several people rate how much of each of six emotions a clip shows: 0 nothing, 3 much. The
    # label is the emotion with the highest mean; a clip with all means 0 is neutral, and a tie has no label. The
    # corpus names no speakers: each video counts as one. Store the sound of the segmented videos as WAV.
    # Zadeh et al., "Multimodal Language Analysis in the Wild: CMU-MOSEI Dataset and Interpretable Dynamic Fusion
    # Graph", ACL 2018.
    Adapter(
        name="cmu_mosei",
        title="CMU-MOSEI",
        pattern="{video}_{clip}.wav, and Labels/*.csv",
        names=r"(?P<speaker>[\w-]{11}|\d{4,6})_(?P<clip>0|[1-9]\d{0,2})",
        codes={"emotion": _words("anger disgust fear happiness sadness surprise neutral")},
        depth=4,
        language="en",
        kind="from videos, rated",
        n_speakers="over 1,000",
        source="http://multicomp.cs.cmu.edu/resources/cmu-mosei-dataset/",
        terms="see its page",
        enrich=label_files.add_mosei_labels,
        usual_split="by video",
    ),
    # Speakers 0001 to 0010 speak Mandarin, 0011 to 0020 English. Newer releases have no folder for the part.
    # Zhou, Sisman, Liu and Li, "Emotional voice conversion: Theory, databases and ESD", Speech Communication 137,
    # 2022.
    Adapter(
        name="esd",
        title="ESD",
        pattern="{speaker}/{Angry,Happy,Neutral,Sad,Surprise}/[{train,evaluation,test}/]{speaker}_{nnnnnn}.wav",
        names=r"<emotion>/(?:train/|evaluation/|test/)?(?P<speaker>\d{4})_(?P<utterance>\d{6})",
        codes={"emotion": _words("Angry Happy Neutral Sad Surprise")},
        speakers={
            f"{speaker:04d}": {
                "gender": "male" if speaker in {4, 5, 6, 8, 10, 11, 12, 13, 14, 20} else "female",
                "language": "zh" if speaker <= 10 else "en",
            }
            for speaker in range(1, 21)
        },
        depth=3,
        n_clips=(35000,),
        kind="Mandarin and English, acted",
        n_speakers="20",
        source="https://hltsingapore.github.io/ESD/",
        terms="for research; see its page",
    ),
    # Only the sentences n1-01, n1-02 and their like are spoken with every emotion; the others belong to one emotion
    # each, so that the words give the label away.
    # Retta, Almekhlafi, Sutcliffe, Mhamed, Ali and Feng, "A New Amharic Speech Emotion Dataset and Classification
    # Benchmark", arXiv 2201.02710, 2022.
    Adapter(
        name="ased",
        title="ASED",
        pattern="{01Neutral,02Fearful,03Happy,04Sad,05Angry}/{n|f|h|s|a}{n}-{sentence}-{repetition}-{gender}-{speaker}.wav",
        names=r"(?P<sentence><emotion>[1-5]-\d\d)-(?P<repetition>\d\d)-<gender>-(?P<speaker>\d\d)",
        codes={
            "emotion": _codes("n neutral, f fear, h happiness, s sadness, a anger"),
            "gender": {"01": "female", "02": "male"},
        },
        any_case=True,
        n_clips=(2474,),
        language="am",
        kind="acted",
        n_speakers="65",
        source="https://github.com/wgwangang/ASED_V1",
        terms="for research; no licence file",
    ),
    # 82 words. The letters between speaker and word are not documented.
    # Canpolat, Ormanoglu and Zeyrek, "Turkish Emotion Voice Database (TurEV-DB)", SLTU-CCURL 2020.
    Adapter(
        name="turev_db",
        title="TurEV-DB",
        pattern="Sound Source/{Angry,Calm,Happy,Sad}/{speaker}_{code}_{word}.wav",
        names=r"<emotion>/(?P<speaker>\d{4})_(?P<code>[A-Za-z]+)_(?P<sentence>\w+)",
        codes={"emotion": _words("Angry Calm Happy Sad")},
        n_clips=(1735,),
        language="tr",
        kind="acted words",
        n_speakers="6",
        source="https://github.com/Xeonen/TurEV-DB",
        terms="see its page",
    ),
    # Seven words in three levels of emotion, not in kinds of emotion: 0 low (tired or down), 1 neutral, 2 high
    # (e.g. joy, sadness or anger).
    # Aouf, "Basic Arabic Vocal Emotions Dataset (BAVED)", 2019.
    Adapter(
        name="baved",
        title="BAVED",
        pattern="{word}/{speaker}-{m|f}-{age}-{word}-{level}-{record}.wav",
        names=r"(?P<speaker>\d+)-<gender>-(?P<age>\d+)-(?P<sentence>[0-6])-<emotion>-(?P<record>\d+)",
        codes={"emotion": {"0": "low", "1": "neutral", "2": "high"}, "gender": GENDERS},
        any_case=True,
        n_clips=(1935,),
        language="ar",
        kind="acted words",
        n_speakers="61",
        source="https://github.com/40uf411/Basic-Arabic-Vocal-Emotions-Dataset",
        terms="see its page",
    ),
    # Ten sentences, five takes each.
    # Sultana, Rahman, Selim and Iqbal, "SUST Bangla Emotional Speech Corpus (SUBESCO)", PLoS ONE 16(4), 2021.
    Adapter(
        name="subesco",
        title="SUBESCO",
        pattern="{F|M}_{nn}_{NAME}_S_{sentence}_{EMOTION}_{take}.wav",
        names=r"(?P<speaker><gender>_\d\d)_[a-z]+_s_(?P<sentence>\d+)_<emotion>_(?P<take>\d)",
        codes={
            "emotion": _words("angry disgust fear happy neutral sad surprise"),
            "gender": GENDERS,
        },
        any_case=True,
        n_clips=(7000,),
        language="bn",
        kind="acted",
        n_speakers="20",
        source="https://zenodo.org/records/4526477",
        terms="CC BY 4.0",
    ),
    # New Zealand English. Five primary emotions in 15 sentences, and five secondary ones, which are left out by
    # default, as is excitement.
    # James, Tian and Watson, "An Open Source Emotional Speech Corpus for Human Robot Interaction Applications",
    # Interspeech 2018.
    Adapter(
        name="jl_corpus",
        title="JL-Corpus",
        pattern="{female|male}{1|2}_{emotion}_{sentence}{a|b}_{session}.wav",
        names=r"(?P<speaker><gender>[12])_<emotion>_(?P<sentence>\d+[ab])_(?P<session>[12])",
        codes={
            "emotion": {
                **_words("angry sad neutral happy anxious apologetic assertive concerned encouraging"),
                "excited": "excitement",
            },
            "gender": {"female": "female", "male": "male"},
        },
        n_clips=(2400,),
        language="en",
        kind="acted",
        n_speakers="4",
        source="https://www.kaggle.com/tli725/jl-corpus",
        terms="CC0 1.0",
        left_out=("excitement", "anxious", "apologetic", "assertive", "concerned", "encouraging"),
    ),
    # Recorded by the speakers themselves. The label is the emotion that the speaker was asked for.
    # Catania, Wilke and Garzotto, "Emozionalmente: A Crowdsourced Corpus of Simulated Emotional Speech in Italian",
    # IEEE Transactions on Audio, Speech and Language Processing 33, 2025.
    Adapter(
        name="emozionalmente",
        title="Emozionalmente",
        pattern="audio/{number}.wav, and metadata/samples.csv, and metadata/users.csv",
        names=r"audio/(?P<clip>\d+)",
        codes={"emotion": _words("anger disgust fear joy neutrality sadness surprise")},
        n_clips=(6902,),
        language="it",
        kind="acted by amateurs",
        n_speakers="431",
        source="https://zenodo.org/records/6569824",
        terms="CC BY 4.0",
        enrich=label_files.add_emozionalmente_labels,
    ),
    # Utterances 01 to 20, the last one improvised. The number in brackets is the speaker. The corpus grows.
    # Vryzas, Kotsakis, Liatsou, Dimoulas and Kalliris, "Speech emotion recognition for performance interaction",
    # Journal of the Audio Engineering Society 66(6), 2018.
    Adapter(
        name="aesdd",
        title="AESDD",
        pattern="{anger,disgust,fear,happiness,sadness}/{a|d|f|h|s}{sentence} ({speaker}).wav",
        names=r"<emotion>(?P<sentence>\d\d) \(0?(?P<speaker>\d+)\)(?P<take>[a-z]?)",
        codes={"emotion": _codes("a anger, d disgust, f fear, h happiness, s sadness")},
        language="el",
        kind="acted",
        n_speakers="5 or more",
        source="http://m3c.web.auth.gr/research/aesdd-speech-emotion-recognition/",
        terms="see its page",
    ),
    # Six sentences; 1 is the mild and 2 the strong version.
    # Gournay, Lahaie and Lefebvre, "A Canadian French emotional speech dataset", ACM Multimedia Systems 2018.
    Adapter(
        name="cafe",
        title="CaFE",
        pattern="{emotion}/{intensity}/{speaker}-{C|D|J|N|P|S|T}-{1|2}-{sentence}.wav",
        names=r"(?P<speaker>\d\d)-<emotion>-<intensity>-(?P<sentence>[1-6])",
        codes={"emotion": _FRENCH, "intensity": {"1": "mild", "2": "strong"}},
        speakers=_speakers(
            "01 male 46, 02 female 64, 03 male 18, 04 female 50, 05 male 22, 06 female 34, "
            "07 male 15, 08 female 25, 09 male 42, 10 female 20, 11 male 35, 12 female 37"
        ),
        depth=3,
        n_clips=(936,),
        language="fr",
        kind="acted",
        n_speakers="12",
        source="https://zenodo.org/records/1478765",
        terms="CC BY-NC-SA 4.0",
    ),
    # Release 2 (434 clips) is the part of release 1 (502) whose emotion listeners recognised: give the folder of
    # one of the two.
    # Kerkeni, Cleder, Serrestou and Raoof, "French Emotional Speech Database: Oréau", Zenodo 4405783, 2020.
    Adapter(
        name="oreau",
        title="Oréau",
        pattern="{f,m}/sess{c}/SSaUUEa.wav",
        names=r"<gender>/sess[a-z]/(?P<speaker>\d\d)(?P<sentence>[a-z]\d\d)<emotion>(?P<repetition>[a-z]?)",
        codes={"emotion": _FRENCH, "gender": GENDERS},
        n_clips=(434, 502),
        language="fr",
        kind="acted by amateurs",
        n_speakers="32",
        source="https://zenodo.org/records/4405783",
        terms="see its page",
    ),
    # The sorted version. The last four digits are the sentence of CMU Arctic. Josh has no anger and no disgust.
    # Amusement and sleepiness are left out by default.
    # Adigwe, Tits, El Haddad, Ostadabbas and Dutoit, "The Emotional Voices Database: Towards Controlling the
    # Emotion Dimension in Voice Generation Systems", arXiv 1806.09514, 2018.
    Adapter(
        name="emov_db",
        title="EmoV-DB",
        pattern="{bea,jenie,josh,sam}/{Amused,Angry,Disgusted,Neutral,Sleepy}/{style}_{range}_{sentence}.wav",
        names=r"<speaker>[_/]<emotion>/[a-z]+_(?:[\d-]+_)?(?P<sentence>\d{4})",
        codes={
            "emotion": {
                **_words("angry disgusted disgust neutral"),
                **_codes("amused amusement, sleepy sleepiness"),
            },
            "speaker": _codes("bea bea, jenie jenie, josh josh, sam sam"),
        },
        any_case=True,
        speakers={
            name: {"gender": "female" if name in ("bea", "jenie") else "male"}
            for name in ("bea", "jenie", "josh", "sam")
        },
        language="en",
        kind="acted",
        n_speakers="4",
        source="https://github.com/numediart/EmoV-DB",
        terms="non-commercial; see its page",
        left_out=("amusement", "sleepiness"),
    ),
    # Radio plays. W is surprise.
    # Mohamad Nezami, Jamshid Lou and Karami, "ShEMO: a large-scale validated database for Persian speech emotion
    # detection", Language Resources and Evaluation 53(1), 2019.
    Adapter(
        name="shemo",
        title="ShEMO",
        pattern="{female,male}/{F|M}{nn}{A|F|H|N|S|W}{nn}.wav",
        names=r"(?P<speaker><gender>\d\d)<emotion>(?P<take>\d\d)",
        codes={
            "emotion": _codes("A anger, F fear, H happiness, N neutral, S sadness, W surprise"),
            "gender": {"F": "female", "M": "male"},
        },
        n_clips=(3000,),
        language="fa",
        kind="from radio plays",
        n_speakers="87",
        source="https://github.com/mansourehk/ShEMO",
        terms="for research; see its page",
    ),
    # Ten sentences, freely chosen for each recording.
    # Germano, Tcheou, Henriques and Gomes Junior, "emoUERJ: an emotional speech database in Portuguese",
    # Zenodo 5427549, 2021.
    Adapter(
        name="emouerj",
        title="emoUERJ",
        pattern="{m|w}{nn}{a|h|n|s}{nn}.wav",
        names=r"(?P<speaker><gender>\d\d)<emotion>(?P<take>\d\d)",
        codes={
            "emotion": _codes("a anger, h happiness, n neutral, s sadness"),
            "gender": {"m": "male", "w": "female"},
        },
        n_clips=(377,),
        language="pt",
        kind="acted",
        n_speakers="8",
        source="https://zenodo.org/records/5427549",
        terms="see its page",
    ),
    # The clips of `ser_graph.corpora.synthetic.making`: speakers s01... of the preset *source*, t01... of *target*.
    Adapter(
        name="synthetic",
        title="built-in speech",
        pattern="{speaker}/{speaker}_{gender}_{emotion}_{sentence}_{take}.wav",
        names=r"(?P<speaker>[st]\d{2,})_<gender>_<emotion>_(?P<sentence>\d{2,})_(?P<take>\d{2,})",
        codes={
            "emotion": _words("anger calm disgust fear guilt happiness neutral sadness surprise"),
            "gender": GENDERS,
        },
        kind="synthetic",
        n_speakers="any",
        source="made by this project",
        terms="the licence of this project",
    ),
)
ADAPTERS: dict[str, Adapter] = {adapter.name: adapter for adapter in _ALL}
"""The corpora of `load_corpus` by name."""
