"""From images to a trained binary student: data, teachers, students, distillation."""
