using System.Text.RegularExpressions;

namespace Distributed.Engine.Checkpoints;

/// <summary>
/// The folder that a conversion writes to until all of it is there, <c>NAME.partial</c> beside the one that it is to become. What a killed
/// conversion leaves there the next one finds; two at once are kept apart by a lock.
/// </summary>
internal sealed partial class PartialFolder : IDisposable
{
    private const string LockName = "in-use.lock";

    private readonly string _target;
    private readonly FileStream _lock;
    private bool _isLocked = true;

    private PartialFolder(string target, FileStream @lock) => (_target, _lock) = (target, @lock);

    /// <summary>The folder.</summary>
    public string Path => $"{_target}.partial";

    /// <summary>Takes the folder, whatever is in it, and makes it where there is none.</summary>
    /// <param name="target">What it is to become, which does not exist.</param>
    /// <param name="keep">Names of the files that the conversion will look at; what else conversions write is deleted.</param>
    /// <exception cref="CheckpointException">Another conversion has it, or it holds something that no conversion writes.</exception>
    public static PartialFolder Take(string target, IReadOnlySet<string> keep)
    {
        var path = $"{target}.partial";
        Directory.CreateDirectory(path);
        FileStream @lock;
        try
        {
            @lock = new FileStream(System.IO.Path.Combine(path, LockName), FileMode.OpenOrCreate, FileAccess.Write, FileShare.None);
        }
        catch (IOException error)
        {
            throw new CheckpointException($"Another conversion is writing to {path}; let it finish, or name another folder.", error);
        }

        var folder = new PartialFolder(target, @lock);
        try
        {
            folder.Clear(keep);
            return folder;
        }
        catch
        {
            folder.Unlock();
            throw;
        }
    }

    /// <summary>Gives the folder its name; it is then whole.</summary>
    public void Complete()
    {
        Unlock();
        Directory.Move(Path, _target);
    }

    /// <summary>Leaves what is finished to the next conversion; where nothing is, the folder goes.</summary>
    public void Dispose()
    {
        if (!_isLocked)
        {
            return;
        }

        foreach (var file in Directory.EnumerateFiles(Path).Where(file => TemporaryName().IsMatch(System.IO.Path.GetFileName(file))).ToArray())
        {
            File.Delete(file);
        }

        Unlock();
        if (!Directory.EnumerateFileSystemEntries(Path).Any())
        {
            Directory.Delete(Path);
        }
    }

    // Named by whoever wrote them, so that nothing of the user's is ever deleted.
    private void Clear(IReadOnlySet<string> keep)
    {
        var others = Directory.EnumerateFileSystemEntries(Path)
            .Select(entry => System.IO.Path.GetFileName(entry))
            .Where(name => name != LockName && !keep.Contains(name))
            .ToArray();
        if (Array.Find(others, name => !OutputName().IsMatch(name) && !TemporaryName().IsMatch(name)) is { } foreign)
        {
            throw new CheckpointException($"{Path} holds '{Printable.Of(foreign)}', which no conversion writes; move it away, or name another folder.");
        }

        foreach (var name in others)
        {
            File.Delete(System.IO.Path.Combine(Path, name));
        }
    }

    private void Unlock()
    {
        _isLocked = false;
        _lock.Dispose();
        File.Delete(System.IO.Path.Combine(Path, LockName));
    }

    [GeneratedRegex(@"^(consolidated\.\d\d\.pth|params\.json|config\.json|model\.safetensors(\.index\.json)?|model-\d{5}-of-\d{5}\.safetensors)$", RegexOptions.CultureInvariant)]
    private static partial Regex OutputName();

    [GeneratedRegex(@"\.[0-9a-f]{32}\.partial$", RegexOptions.CultureInvariant)]
    private static partial Regex TemporaryName();
}
