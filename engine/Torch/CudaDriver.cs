using System.Runtime.InteropServices;

namespace Distributed.Engine.Torch;

/// <summary>
/// The few calls of NVIDIA's driver that TorchSharp has no name for. All are bound when they are first needed, and without a driver nothing happens.
/// </summary>
internal static unsafe class CudaDriver
{
    private static readonly nint Library = Load();

    /// <summary>Whether a driver is installed.</summary>
    public static bool IsInstalled => Library != 0;

    /// <summary>
    /// Makes a GPU the calling thread's own. libtorch allocates where its tensors are either way, but page-locked memory and NCCL take the
    /// thread's GPU, and the first one would carry a context of every rank.
    /// </summary>
    /// <param name="index">As libtorch counts them: cuda:index.</param>
    public static void MakeCurrent(int index)
    {
        if (Function("cuInit") is var init && init != 0
            && Function("cuDeviceGet") is var deviceGet && deviceGet != 0
            && Function("cuDevicePrimaryCtxRetain") is var retain && retain != 0
            && Function("cuCtxSetCurrent") is var setCurrent && setCurrent != 0)
        {
            int device;
            nint context;
            if (((delegate* unmanaged<uint, int>)init)(0) == 0
                && ((delegate* unmanaged<int*, int, int>)deviceGet)(&device, index) == 0
                && ((delegate* unmanaged<nint*, int, int>)retain)(&context, device) == 0)
            {
                _ = ((delegate* unmanaged<nint, int>)setCurrent)(context);
            }
        }
    }

    /// <summary>Free and all bytes of the calling thread's GPU; <see langword="null"/> where the driver does not say.</summary>
    public static (long Free, long Total)? MemoryOfCurrent()
    {
        nuint free, total;
        var query = Function("cuMemGetInfo_v2");
        return query != 0 && ((delegate* unmanaged<nuint*, nuint*, int>)query)(&free, &total) == 0 ? ((long)free, (long)total) : null;
    }

    /// <summary>The same number for one GPU in all processes of a host, another for others: half of its UUID; of its index where the driver does not say.</summary>
    /// <param name="index">As libtorch counts them.</param>
    public static ulong Identify(int index)
    {
        int device;
        var uuid = stackalloc ulong[2];
        var (deviceGet, getUuid) = (Function("cuDeviceGet"), Function("cuDeviceGetUuid"));
        return deviceGet != 0 && getUuid != 0
            && ((delegate* unmanaged<int*, int, int>)deviceGet)(&device, index) == 0
            && ((delegate* unmanaged<ulong*, int, int>)getUuid)(uuid, device) == 0
            ? uuid[0] ^ uuid[1]
            : (ulong)index;
    }

    private static nint Load()
        => NativeLibrary.TryLoad(OperatingSystem.IsWindows() ? "nvcuda.dll" : "libcuda.so.1", out var library) ? library : 0;

    private static nint Function(string name) => Library != 0 && NativeLibrary.TryGetExport(Library, name, out var function) ? function : 0;
}
