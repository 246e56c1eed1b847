namespace Distributed.Engine.Tokenizers;

/// <summary>
/// A tokenizer file that cannot be used as it is. The message is one sentence for the user: the file, the value found, the rule, and the
/// next step.
/// </summary>
public sealed class TokenizerFormatException(string message, Exception? inner = null) : Exception(message, inner);
