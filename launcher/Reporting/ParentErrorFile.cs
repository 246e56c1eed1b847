using System.Text.Json;
using System.Text.Json.Nodes;
using Distributed.Collectives.Launching;

namespace Distributed.Launcher.Reporting;

/// <summary>
/// The error file of the launcher itself, where something that started it (another launcher, a cluster's agent) has named one: it gets the root
/// cause's, with the exit code, as torch.distributed.elastic hands it up (errors/error_handler.py).
/// </summary>
internal static class ParentErrorFile
{
    /// <summary>The variable that names it.</summary>
    public const string Variable = "TORCHELASTIC_ERROR_FILE";

    /// <summary>Copies a rank's error file up.</summary>
    /// <param name="rankFile">The rank's; nothing is written where there is none, or one that is not of torchrun's form.</param>
    /// <param name="exitCode">The rank's, as torchrun says it.</param>
    /// <param name="parentFile">The launcher's own; <see langword="null"/> or empty for none.</param>
    /// <returns>Why it could not be written, a sentence; <see langword="null"/> where nothing went wrong.</returns>
    public static string? CopyUp(string? rankFile, int exitCode, string? parentFile)
    {
        if (string.IsNullOrEmpty(parentFile) || rankFile is null || ErrorFile.TryRead(rankFile, out _) is null)
        {
            return null;
        }

        try
        {
            var error = JsonNode.Parse(File.ReadAllBytes(rankFile))!;
            if (error["message"] is JsonObject message)
            {
                message["errorCode"] = exitCode; // The flat form has no place for it.
            }

            File.WriteAllText(parentFile, error.ToJsonString());
            return null;
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException or JsonException or ArgumentException)
        {
            return $"{Variable}={parentFile} cannot be written ({exception.Message}).";
        }
    }
}
