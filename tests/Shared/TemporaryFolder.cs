namespace Distributed.Tests;

/// <summary>A folder of its own for a test, removed after it.</summary>
internal sealed class TemporaryFolder : IDisposable
{
    private const int MaxAttempts = 100;

    public string Path { get; } = Directory.CreateTempSubdirectory("distrun-test-").FullName;

    /// <summary>The path of a file in it.</summary>
    public string this[string name] => System.IO.Path.Combine(Path, name);

    /// <summary>Writes a file and returns its path.</summary>
    public string Write(string name, string content)
    {
        File.WriteAllText(this[name], content);
        return this[name];
    }

    /// <summary>Writes an executable script and returns its path; its first line is added.</summary>
    public string Script(string name, string body)
    {
        Write(name, $"#!/bin/sh\n{body.ReplaceLineEndings("\n")}\n");
        if (!OperatingSystem.IsWindows())
        {
            File.SetUnixFileMode(this[name], UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
        }

        return this[name];
    }

    public void Dispose()
    {
        // The guardian of a launcher that was killed removes its part at the same moment.
        for (var attempt = 0; Directory.Exists(Path); attempt++)
        {
            try
            {
                Directory.Delete(Path, recursive: true);
            }
            catch (Exception exception) when (attempt < MaxAttempts && exception is IOException)
            {
                Thread.Sleep(10);
            }
        }
    }
}
