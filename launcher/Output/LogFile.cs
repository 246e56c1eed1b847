namespace Distributed.Launcher.Output;

/// <summary>
/// A file that output is appended to. One that reaches its limit is put aside under the same name with .1, in the place of the one that was
/// put aside before: the last bytes are always there, and never more than twice the limit. Safe for use from several threads.
/// </summary>
internal sealed class LogFile : IDisposable
{
    private readonly Lock _gate = new();
    private readonly string _path;
    private readonly long _maxByteCount;
    private readonly Action<string> _broken;
    private FileStream? _file;

    /// <summary>Opens it, empty.</summary>
    /// <param name="path">Where; the folder exists.</param>
    /// <param name="maxByteCount">Its limit; 0 for none.</param>
    /// <param name="broken">Told once if the file takes no more; the output goes on without it.</param>
    public LogFile(string path, long maxByteCount, Action<string> broken)
    {
        _path = path;
        _maxByteCount = maxByteCount;
        _broken = broken;
        try
        {
            _file = Open();
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            Break(exception);
        }
    }

    /// <summary>Appends bytes; in one piece, unless the limit comes inside them.</summary>
    public void Write(ReadOnlySpan<byte> bytes)
    {
        lock (_gate)
        {
            try
            {
                while (_file is not null && !bytes.IsEmpty)
                {
                    var count = _maxByteCount == 0 ? bytes.Length : (int)Math.Min(bytes.Length, _maxByteCount - _file.Position);
                    _file.Write(bytes[..count]);
                    bytes = bytes[count..];
                    if (_file.Position == _maxByteCount)
                    {
                        PutAside();
                    }
                }
            }
            catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
            {
                Break(exception);
            }
        }
    }

    public void Dispose()
    {
        lock (_gate)
        {
            _file?.Dispose();
            _file = null;
        }
    }

    // Unbuffered: who looks into the file sees all that has been written.
    private FileStream Open() => new(_path, FileMode.Create, FileAccess.Write, FileShare.ReadWrite | FileShare.Delete, bufferSize: 0);

    private void PutAside()
    {
        _file!.Dispose();
        File.Move(_path, _path + ".1", overwrite: true);
        _file = Open();
    }

    private void Break(Exception exception)
    {
        _file?.Dispose();
        _file = null;
        _broken($"{_path} cannot be written ({exception.Message}); the output goes on without it.");
    }
}
