namespace Distributed.Engine.Diagnosis;

/// <summary>How far the reading of a checkpoint's files is.</summary>
/// <param name="Check">What is compared: <c>md5</c> or <c>CRC-32</c>.</param>
/// <param name="DoneByteCount">Bytes read so far.</param>
/// <param name="TotalByteCount">Bytes to read.</param>
/// <param name="FinishedFile">A file that has just been read to its end, with what was found; <see langword="null"/> between.</param>
public readonly record struct ExaminationProgress(string Check, long DoneByteCount, long TotalByteCount, FileVerdict? FinishedFile);

/// <summary>What the checksums of a file say.</summary>
/// <param name="Name">Its name in the folder.</param>
/// <param name="Check"><c>md5</c> or <c>CRC-32</c>.</param>
/// <param name="IsRight">Whether it is what was published.</param>
public sealed record FileVerdict(string Name, string Check, bool IsRight);
