namespace Distributed.Engine.Checkpoints;

/// <summary>A folder with a checkpoint in any layout that can be read.</summary>
public static class CheckpointFolder
{
    /// <summary>Opens the layout of Hugging Face or of Meta, whichever the folder has.</summary>
    /// <param name="directory">The folder.</param>
    /// <param name="tokenizerVocabularySize">The number of tokens of the tokenizer that will be used, where there is one.</param>
    /// <exception cref="CheckpointException">
    /// Something is missing, damaged or inconsistent; the message is one sentence for the user.
    /// </exception>
    public static CheckpointSource Open(string directory, int? tokenizerVocabularySize)
        => HuggingFaceCheckpoint.IsIn(directory)
            ? HuggingFaceCheckpoint.Open(directory, tokenizerVocabularySize)
            : MetaCheckpoint.Open(directory, tokenizerVocabularySize);
}
