using System.Runtime.InteropServices;

namespace Distributed.Engine.Nccl;

/// <summary>What identifies a communicator: 128 bytes that one rank makes and all give to <see cref="NcclLibrary.CommInitRank"/>, by value.</summary>
[StructLayout(LayoutKind.Sequential, Size = ByteCount)]
internal struct NcclUniqueId
{
    /// <summary>NCCL_UNIQUE_ID_BYTES.</summary>
    public const int ByteCount = 128;
}

/// <summary>
/// The functions of libnccl.so.2 that a sum over ranks needs, as nccl.h declares them. The library is looked up when the program runs: it belongs
/// to the machine, not to the build. TorchSharp's libtorch has NCCL inside but shows it to nobody.
/// </summary>
internal sealed unsafe class NcclLibrary
{
    /// <summary>As the system knows it, on Linux; NCCL exists nowhere else.</summary>
    public const string FileName = "libnccl.so.2";

    private const int Success = 0;
    private const int Float32 = 7; // ncclFloat32
    private const int Sum = 0; // ncclSum

    private readonly delegate* unmanaged<int*, int> _getVersion;
    private readonly delegate* unmanaged<NcclUniqueId*, int> _getUniqueId;
    private readonly delegate* unmanaged<nint*, int, NcclUniqueId, int, int> _commInitRank;
    private readonly delegate* unmanaged<nint, int> _commAbort;
    private readonly delegate* unmanaged<nint, int> _commDestroy;
    private readonly delegate* unmanaged<nint, int*, int> _commGetAsyncError;
    private readonly delegate* unmanaged<int, byte*> _getErrorString;
    private readonly delegate* unmanaged<void*, void*, nuint, int, int, nint, nint, int> _allReduce;

    private NcclLibrary(nint library)
    {
        _getVersion = (delegate* unmanaged<int*, int>)Find("ncclGetVersion");
        _getUniqueId = (delegate* unmanaged<NcclUniqueId*, int>)Find("ncclGetUniqueId");
        _commInitRank = (delegate* unmanaged<nint*, int, NcclUniqueId, int, int>)Find("ncclCommInitRank");
        _commAbort = (delegate* unmanaged<nint, int>)Find("ncclCommAbort");
        _commDestroy = (delegate* unmanaged<nint, int>)Find("ncclCommDestroy");
        _commGetAsyncError = (delegate* unmanaged<nint, int*, int>)Find("ncclCommGetAsyncError");
        _getErrorString = (delegate* unmanaged<int, byte*>)Find("ncclGetErrorString");
        _allReduce = (delegate* unmanaged<void*, void*, nuint, int, int, nint, nint, int>)Find("ncclAllReduce");

        nint Find(string name) => NativeLibrary.GetExport(library, name);
    }

    /// <summary>2.18.3 and the like.</summary>
    public string Version
    {
        get
        {
            int version;
            if (_getVersion(&version) != Success)
            {
                return "of an unknown version";
            }

            // 2.8 and before wrote major x 1000, later ones major x 10000.
            var major = version < 10000 ? version / 1000 : version / 10000;
            var rest = version < 10000 ? version % 1000 : version % 10000;
            return $"{major}.{rest / 100}.{rest % 100}";
        }
    }

    /// <summary>The library, or <see langword="null"/> where it is not installed or lacks one of the functions.</summary>
    /// <param name="path">A file, or a name that the system looks up.</param>
    public static NcclLibrary? TryLoad(string path = FileName)
    {
        try
        {
            return NativeLibrary.TryLoad(path, out var library) ? new NcclLibrary(library) : null;
        }
        catch (EntryPointNotFoundException)
        {
            return null;
        }
    }

    /// <summary>Makes the identity of a new communicator; the rank that makes it listens for the others.</summary>
    /// <exception cref="NcclException">NCCL refuses.</exception>
    public NcclUniqueId GetUniqueId()
    {
        NcclUniqueId id;
        Check(_getUniqueId(&id));
        return id;
    }

    /// <summary>Joins a communicator with the calling thread's GPU; returns when all ranks have called it.</summary>
    /// <exception cref="NcclException">NCCL refuses, as where two ranks have the same GPU.</exception>
    public nint CommInitRank(NcclUniqueId id, int worldSize, int rank)
    {
        nint communicator;
        Check(_commInitRank(&communicator, worldSize, id, rank));
        return communicator;
    }

    /// <summary>Puts a sum of float32 on the default stream of the communicator's GPU: values = the sum of all ranks' values.</summary>
    /// <param name="communicator">The ranks.</param>
    /// <param name="values">[count] on the GPU.</param>
    /// <param name="count">Elements.</param>
    /// <exception cref="NcclException">NCCL refuses.</exception>
    public void AllReduce(nint communicator, nint values, long count)
        => Check(_allReduce((void*)values, (void*)values, (nuint)count, Float32, Sum, communicator, 0));

    /// <summary>What went wrong since, such as a lost rank; <see langword="null"/> where nothing did.</summary>
    public string? FindAsyncError(nint communicator)
    {
        int error;
        var result = _commGetAsyncError(communicator, &error);
        return result != Success ? Describe(result) : error != Success ? Describe(error) : null;
    }

    /// <summary>Ends a communicator whose ranks may be gone: what waits on the GPU returns.</summary>
    public void Abort(nint communicator) => _ = _commAbort(communicator);

    /// <summary>Ends a communicator in peace.</summary>
    public void Destroy(nint communicator) => _ = _commDestroy(communicator);

    private void Check(int result)
    {
        if (result != Success)
        {
            throw new NcclException(Describe(result));
        }
    }

    private string Describe(int result) => Marshal.PtrToStringUTF8((nint)_getErrorString(result)) ?? $"error {result}";
}
