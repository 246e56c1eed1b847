namespace Distributed.Engine.Tokenizers;

/// <summary>How a text is cut into words before merging, within which alone tokens merge.</summary>
internal enum WordSplit
{
    /// <summary>Not at all: the text is one word.</summary>
    None,

    /// <summary>GPT-2's pattern.</summary>
    Gpt2,

    /// <summary>GPT-2's pattern, after each digit was set apart (SmolLM).</summary>
    Gpt2Digits,

    /// <summary>Llama 3's pattern: numbers in threes.</summary>
    Llama3,

    /// <summary>Qwen2's pattern: Llama 3's with single digits.</summary>
    Qwen2,

    /// <summary>Mistral's since Nemo (Tekken): words also end where capitals begin.</summary>
    Tekken,
}
