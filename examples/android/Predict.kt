// An exported student in an Android app, by the package com.microsoft.onnxruntime:onnxruntime-android.
// input   waveform      [clips, n_samples] float32: -1 to 1, mono, at the rate of the model
// output  probabilities [clips, emotions] float32: in the order of the metadata, with the sum 1
// output  fc1           [clips, features] float32: the embedding
// A student that normalises by speaker also has input voice and output voice_after: [clips, 3, n_mels] float32.
import ai.onnxruntime.OnnxTensor
import ai.onnxruntime.OrtEnvironment
import ai.onnxruntime.OrtSession
import java.nio.FloatBuffer
import org.json.JSONObject

class Student(model: ByteArray) { // the bytes of student.onnx
    private val runtime = OrtEnvironment.getEnvironment().apply { setTelemetry(false) }
    private val session = runtime.createSession(model, OrtSession.SessionOptions())
    private val metadata = JSONObject(session.metadata.customMetadata.getValue("ser_graph"))
    private val emotions = metadata.getJSONArray("emotions").let { List(it.length()) { i -> it.getString(i) } }
    private val length = metadata.getJSONObject("features").getInt("n_samples")
    val rate = metadata.getJSONObject("features").getInt("sample_rate") // for AudioRecord

    /** The probability of each emotion in 16-bit mono PCM at `rate`. Short sound is repeated, long sound is cut. */
    fun predict(pcm: ShortArray): Map<String, Float> {
        val samples = FloatBuffer.wrap(FloatArray(length) { pcm[it % pcm.size] / 32768f })
        OnnxTensor.createTensor(runtime, samples, longArrayOf(1, length.toLong())).use { waveform ->
            session.run(mapOf("waveform" to waveform)).use { outputs ->
                val probabilities = (outputs["probabilities"].get() as OnnxTensor).floatBuffer
                return emotions.associateWith { probabilities.get() }
            }
        }
    }
}
