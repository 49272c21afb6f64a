"""The statements of the story "from RNN to Transformer", by chapter. `python -m experiments.claims` decides them."""

CHAPTERS: dict[str, dict[int, str]] = {
    "Plain networks": {
        1: "A network learns from examples what was once written as rules by hand.",
        2: "Stacked layers with a nonlinearity between them learn patterns that one layer cannot.",
        3: "Training follows the gradient of the error downhill, and what counts is the error on unseen data.",
        4: "A plain network has separate weights per layer, takes inputs of one size and treats them as independent; "
        "a recurrent one shares its weights over the steps and takes any length.",
        5: "A recurrent network has more parameters than a plain one.",
    },
    "Recurrent networks": {
        6: "The hidden state is a memory: what a step outputs depends on what came before.",
        7: "One set of weights serves every step; unrolled over time, a recurrent network is a deep one.",
        8: "The state may start at zero, at random values or at learned ones: it makes little difference.",
        9: "Without its nonlinearity, a recurrent network only sums up the past.",
        10: "Back-propagation through time multiplies by the same derivative at every step, so gradients vanish or "
        "explode with distance.",
        11: "Exploding gradients break training by huge updates; clipping ends that, and learning-rate schedules help.",
        12: "ReLU copes with vanishing gradients.",
        13: "The gates of LSTM and GRU keep gradients alive by design.",
        14: "LSTM copes with long distances, but beyond some hundred words it struggles.",
        15: "LSTM is slower than the plain recurrent network, and GRU is cheaper than LSTM.",
        16: "GRU suits small data sets, LSTM large ones.",
        17: "A plain recurrent network learns short dependencies, but not long ones.",
        18: "Reading in both directions helps where the whole sequence is known, as in sentiment and tagging.",
        19: "Recurrence is sequential: each step waits for the one before, so training cannot use parallel hardware.",
    },
    "Shapes of problems": {
        20: "One network family serves one to one, one to many, many to one and many to many.",
        21: "A network forecasts a series better than persistence and climatology.",
        22: "Encoder and decoder map a sequence to one of another length; the single vector between them is a "
        "bottleneck that shows with length.",
        23: "Summaries, translations and answers come out better than an honest baseline.",
    },
    "Attention and the Transformer": {
        24: "Attention gives each output its own view of the input, which rescues long sentences.",
        25: "Attention lines words up across languages, but not one to one: word order differs.",
        26: "Self-attention reaches any distance in one step, and recalls what recurrence has lost.",
        27: "A Transformer processes all positions at once in training, which recurrence cannot.",
        28: "Scaling the scores by the square root of the key width keeps the softmax from saturating.",
        29: "The softmax turns scores into weights that sum to one, and the output is the weighted sum of the values.",
        30: "Different heads see different relations.",
        31: "The feed-forward layer treats each token alone.",
        32: "Without positions, word order is invisible; sinusoidal, learned and rotary codes restore it.",
        33: "The mask keeps the decoder from seeing what it has to predict.",
        34: "Cross-attention takes its queries from the decoder, its keys and values from the encoder.",
        35: "The last layer and the softmax give a distribution over next tokens; generation feeds each choice back.",
        36: "A Transformer has no gradient that vanishes with distance.",
        37: "Recurrence does what a Transformer of fixed depth cannot; one more token costs it the same after any "
        "context.",
    },
    "Text as numbers": {
        38: "Tokens may be words, subwords or characters, which trades length against unknown words.",
        39: "An embedding puts words of like use near each other; pre-trained vectors help where data are few.",
        40: "Padding and truncation make lengths equal, and padding changes nothing that is real.",
    },
    "Pre-training": {
        41: "Predicting text teaches what other tasks can use.",
        42: "Freezing the first layers makes fine-tuning faster and overfits less; the last layer alone may do.",
        43: "Quality grows with parameters and data, along a power law.",
    },
}
