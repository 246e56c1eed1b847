namespace Distributed.Tests;

/// <summary>Where the tests find the project's own files and the data that lies beside the checkout.</summary>
internal static class Repository
{
    /// <summary>The folder of Distributed.sln.</summary>
    public static string Root { get; } = FindRoot();

    /// <summary>The committed demo checkpoint.</summary>
    public static string DemoCheckpoint => Path.Combine(Root, "configs", "demo");

    /// <summary>The folder ../shared/data, which need not exist.</summary>
    public static string SharedData => Path.Combine(Root, "..", "shared", "data");

    private static string FindRoot()
    {
        for (var folder = new DirectoryInfo(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
        {
            if (File.Exists(Path.Combine(folder.FullName, "Distributed.sln")))
            {
                return folder.FullName;
            }
        }

        throw new DirectoryNotFoundException($"No Distributed.sln above {AppContext.BaseDirectory}.");
    }
}
