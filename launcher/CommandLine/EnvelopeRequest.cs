using System.Text.Json;

namespace Distributed.Launcher.CommandLine;

/// <summary>
/// How a .NET program asks for the job envelope, without which its ranks cannot form a group: by a property in its runtimeconfig.json,
/// which its project file puts there.
/// <code>&lt;RuntimeHostConfigurationOption Include="Distributed.TakesEnvelope" Value="true" /&gt;</code>
/// </summary>
internal static class EnvelopeRequest
{
    private const string Property = "Distributed.TakesEnvelope";
    private const int MaxByteCount = 64 << 10;

    /// <summary>Whether the program asks.</summary>
    /// <param name="program">An executable, or the assembly that dotnet runs.</param>
    public static bool IsMadeBy(string program)
    {
        var file = new FileInfo((program.EndsWith(".dll", StringComparison.Ordinal) || program.EndsWith(".exe", StringComparison.Ordinal) ? program[..^4] : program) + ".runtimeconfig.json");
        try
        {
            if (!file.Exists || file.Length > MaxByteCount)
            {
                return false;
            }

            using var document = JsonDocument.Parse(File.ReadAllBytes(file.FullName));
            return document.RootElement.TryGetProperty("runtimeOptions", out var options)
                && options.TryGetProperty("configProperties", out var properties)
                && properties.TryGetProperty(Property, out var value)
                && value.ValueKind == JsonValueKind.True;
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException or JsonException or InvalidOperationException)
        {
            return false; // Whatever is wrong with the file, its host will say.
        }
    }
}
