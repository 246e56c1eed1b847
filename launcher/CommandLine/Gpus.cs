using System.Diagnostics;
using System.Globalization;

namespace Distributed.Launcher.CommandLine;

/// <summary>Counts the NVIDIA GPUs that a rank would see.</summary>
internal static class Gpus
{
    /// <summary>The variable that says which of them CUDA shows a program.</summary>
    public const string VisibleDevices = "CUDA_VISIBLE_DEVICES";

    private static readonly TimeSpan QueryLimit = TimeSpan.FromSeconds(10);

    /// <summary>The number of GPUs of this machine, within what CUDA_VISIBLE_DEVICES leaves visible.</summary>
    public static int CountVisible()
    {
        // A Linux guest of Windows (WSL) has the driver's tool but no device files.
        var devices = OperatingSystem.IsLinux() ? CountDevices("/dev") : 0;
        return Math.Min(CountVisible(Environment.GetEnvironmentVariable(VisibleDevices)), devices > 0 ? devices : CountListed());
    }

    /// <summary>The device of one rank, where each has one: an entry of the variable, or else its own number.</summary>
    public static string DeviceOf(int localRank, string? variable)
        => variable?.Split(',', StringSplitOptions.TrimEntries)[localRank] ?? localRank.ToString(CultureInfo.InvariantCulture);

    /// <summary>How many devices the variable lets through; no limit where it is not set.</summary>
    /// <remarks>CUDA reads the list up to the first entry that is no device: -1 or empty hides it and all that follow.</remarks>
    internal static int CountVisible(string? variable)
    {
        if (variable is null)
        {
            return int.MaxValue;
        }

        var count = 0;
        foreach (var entry in variable.Split(',', StringSplitOptions.TrimEntries))
        {
            if (entry.Length == 0 || entry.StartsWith('-'))
            {
                break;
            }

            count++;
        }

        return count;
    }

    /// <summary>Counts nvidia0, nvidia1, and so on; not nvidiactl and the like.</summary>
    internal static int CountDevices(string folder)
    {
        const string Prefix = "nvidia";
        return Directory.EnumerateFiles(folder, Prefix + "*").Select(path => Path.GetFileName(path)[Prefix.Length..])
            .Count(number => int.TryParse(number, NumberStyles.None, CultureInfo.InvariantCulture, out _));
    }

    private static int CountListed()
    {
        try
        {
            using var query = Process.Start(new ProcessStartInfo("nvidia-smi", "--list-gpus") { RedirectStandardOutput = true })!;
            var lines = query.StandardOutput.ReadToEndAsync();
            if (!lines.Wait(QueryLimit))
            {
                query.Kill();
                return 0;
            }

            return lines.Result.Split('\n').Count(line => line.StartsWith("GPU ", StringComparison.Ordinal));
        }
        catch (System.ComponentModel.Win32Exception)
        {
            return 0; // No driver, no GPU.
        }
    }
}
