using Distributed.Engine.Checkpoints;

namespace Distributed.Engine.Diagnosis;

/// <summary>
/// Reads the files of a folder once and compares them with the checksums that there are: a file of <c>checklist.chk</c> with its md5, a
/// <c>.pth</c> that no md5 vouches for with the CRC-32s of its own members.
/// </summary>
internal sealed class ChecksumExamination
{
    private const string Md5 = "md5", Crc32 = "CRC-32";

    // Of the model and of the tokenizer, which Meta publishes apart.
    private static readonly string[] ListNames = ["checklist.chk", "tokenizer_checklist.chk"];

    private readonly string _directory;
    private readonly int _threadCount;
    private readonly IProgress<ExaminationProgress>? _progress;
    private readonly CancellationToken _cancellationToken;
    private readonly List<Finding> _findings;
    private readonly List<FileVerdict> _verdicts = [];
    private long _done;

    /// <param name="directory">The folder.</param>
    /// <param name="threadCount">Files at once, or threads on one.</param>
    /// <param name="findings">What is wrong is added.</param>
    /// <param name="progress">Told how far it is, from any thread.</param>
    /// <param name="cancellationToken">Ends it.</param>
    public ChecksumExamination(
        string directory, int threadCount, List<Finding> findings, IProgress<ExaminationProgress>? progress, CancellationToken cancellationToken)
        => (_directory, _threadCount, _findings, _progress, _cancellationToken) = (directory, threadCount, findings, progress, cancellationToken);

    /// <summary>Compares all; the files in the order of their names.</summary>
    /// <param name="checkpoint">The folder's; <see langword="null"/> where it cannot be opened: then md5 alone is compared.</param>
    /// <param name="tokenizerDirectory">Where the tokenizer lies, whose list is there.</param>
    public IReadOnlyList<FileVerdict> Run(CheckpointSource? checkpoint, string? tokenizerDirectory)
    {
        var folders = new[] { _directory, tokenizerDirectory }.OfType<string>().Select(Path.GetFullPath).Distinct(StringComparer.Ordinal);
        var lists = folders.SelectMany(folder => ListNames.Select(name => Path.Combine(folder, name))).Where(File.Exists).ToArray();
        var listed = lists
            .SelectMany(list => DownloadChecklist.Read(list, _findings).Select(entry => (Path: Path.Combine(Path.GetDirectoryName(list)!, entry.Key), Digest: entry.Value)))
            .DistinctBy(entry => entry.Path)
            .ToArray();
        CompareMd5(listed);
        if (checkpoint is MetaCheckpoint meta)
        {
            CompareCrc32(meta);
        }

        if (lists.Length == 0)
        {
            _findings.Add(Finding.Note(checkpoint is HuggingFaceCheckpoint
                ? "safetensors files have no checksums, so damage within a tensor cannot be seen; compare their SHA-256 with those of the place they come from."
                : $"{_directory} has no checklist.chk, so the files were compared with the CRC-32s in them alone; download it from where the files come from."));
        }

        return [.. _verdicts.OrderBy(verdict => verdict.Name, StringComparer.Ordinal)];
    }

    private void CompareMd5((string Path, string Digest)[] listed)
    {
        var files = listed.Where(entry => File.Exists(entry.Path)).ToArray();
        _findings.AddRange(listed.Except(files).Select(entry => Finding.Error(
            $"{entry.Path} is in the checklist and not in the folder; download it.")));
        var total = files.Sum(entry => new FileInfo(entry.Path).Length);
        _done = 0;
        var options = new ParallelOptions { MaxDegreeOfParallelism = _threadCount, CancellationToken = _cancellationToken };
        System.Threading.Tasks.Parallel.ForEach(files, options, entry =>
        {
            string digest;
            try
            {
                digest = DownloadChecklist.Md5Of(entry.Path, count => Report(Md5, count, total), _cancellationToken);
            }
            catch (Exception error) when (error is IOException or UnauthorizedAccessException)
            {
                Add(Finding.Error($"{entry.Path} cannot be read: {error.Message}"));
                return;
            }

            if (digest != entry.Digest)
            {
                Add(Finding.Error($"{entry.Path} has the md5 {digest} where the checklist has {entry.Digest}; download it again."));
            }

            Finish(new FileVerdict(Path.GetFileName(entry.Path), Md5, digest == entry.Digest), total);
        });
    }

    private void CompareCrc32(MetaCheckpoint checkpoint)
    {
        var proven = _verdicts.Where(verdict => verdict.IsRight).Select(verdict => verdict.Name).ToHashSet(StringComparer.Ordinal);
        var shards = Enumerable.Range(0, checkpoint.ShardCount).Where(shard => !proven.Contains(checkpoint.ShardFileName(shard))).ToArray();
        long total = 0;
        _done = 0;
        foreach (var shard in shards)
        {
            using var mapped = checkpoint.MapShard(shard);
            total += mapped.ByteCount;
        }

        foreach (var shard in shards)
        {
            using var mapped = checkpoint.MapShard(shard);
            var isRight = true;
            try
            {
                mapped.VerifyChecksums(_threadCount, new Forward(this, total, Interlocked.Read(ref _done)), _cancellationToken);
            }
            catch (CheckpointException error)
            {
                isRight = false;
                Add(Finding.Error(error.Message));
            }

            Finish(new FileVerdict(checkpoint.ShardFileName(shard), Crc32, isRight), total);
        }
    }

    private void Add(Finding finding)
    {
        lock (_findings)
        {
            _findings.Add(finding);
        }
    }

    private void Report(string check, long byteCount, long total)
        => _progress?.Report(new ExaminationProgress(check, Interlocked.Add(ref _done, byteCount), total, null));

    private void Finish(FileVerdict verdict, long total)
    {
        lock (_verdicts)
        {
            _verdicts.Add(verdict);
        }

        _progress?.Report(new ExaminationProgress(verdict.Check, Interlocked.Read(ref _done), total, verdict));
    }

    /// <summary>A shard's own count of bytes, behind those of the shards before it.</summary>
    private sealed class Forward(ChecksumExamination examination, long total, long before) : IProgress<long>
    {
        public void Report(long value)
        {
            Interlocked.Exchange(ref examination._done, before + value);
            examination._progress?.Report(new ExaminationProgress(Crc32, before + value, total, null));
        }
    }
}
